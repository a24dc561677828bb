"""The models that `memagent model get` has installed: one folder each, in one place.

A model is written to a folder with a temporary name, which is renamed when it is complete: an
interrupted installation leaves no model, and the next one deletes what it left.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from memagent.errors import MemagentError, NotFoundError, UsageError

__all__ = ["Installed", "Library", "check_room"]

_RECORD = "memagent.json"
_PARTIAL = ".partial-"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# Libraries written in Rust, and pip, report a full disk in words only.
_FULL_WORDS = re.compile("no space left|disk quota exceeded|file too large", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Installed:
    """An installed model: its name, its folder, where it came from, and its size in bytes."""

    name: str
    folder: Path
    source: str
    size: int


@dataclass(frozen=True, slots=True)
class Library:
    """The models below the folder `root`, which need not exist."""

    root: Path

    def models(self) -> list[Installed]:
        """All installed models by name."""
        found = (_read(folder) for folder in self.root.glob("[!.]*") if folder.is_dir())
        return sorted((model for model in found if model), key=lambda model: model.name)

    def find(self, name: str) -> Installed | None:
        """The installed model of this name, if there is one."""
        return _read(self._folder(name)) if _NAME.fullmatch(name) else None

    def get(self, name: str) -> Installed:
        """The installed model of this name; NotFoundError, with the names there are, without."""
        model = self.find(name)
        if model is None:
            names = ", ".join(model.name for model in self.models()) or "none"
            raise NotFoundError(
                f"no model {name!r} is installed (installed: {names}): "
                f"`memagent model get {name}` installs it if there is one"
            )
        return model

    def has(self, model: str) -> bool:
        """Whether a `--model` is on this machine: installed, or a folder with a model."""
        path = Path(model).expanduser()
        return (path / "config.json").is_file() or self.find(model) is not None

    def resolve(self, model: str) -> tuple[str, str]:
        """What a `--model` means to a program that loads models, and what to call it.

        The first is a folder, or a name on the hub if it looks like one. Raises NotFoundError for
        a plain name that is neither installed nor that of a folder.
        """
        path = Path(model).expanduser()
        installed = self.find(model)
        if installed is not None and not path.exists():
            return str(installed.folder), installed.name
        if path.exists():
            return str(path), path.resolve().name
        if "/" not in model and _NAME.fullmatch(model):
            self.get(model)
        return model, model

    def remove(self, name: str) -> Installed:
        """Delete an installed model; NotFoundError without."""
        with self._locked(lambda: None):
            model = self.get(name)
            doomed = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self.root))
            model.folder.rename(doomed / "model")
            shutil.rmtree(doomed)
        return model

    @contextmanager
    def installing(
        self, name: str, source: str, waiting: Callable[[], None] = lambda: None
    ) -> Iterator[Path | None]:
        """A block that fills a new folder, which becomes the model `name` if nothing is raised.

        Yields None if that model is installed from that source already. If another process is
        installing a model, calls `waiting` and waits. Raises UsageError for a bad name or one that
        another source has, and MemagentError if the disk is full or the folder cannot be written.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} cannot name a model: use letters, digits and _ . -, as NAME or "
                "OWNER/NAME"
            )
        with self._full_disk_in_one_line(name), self._locked(waiting):
            installed = self.find(name)
            if installed is not None:
                if installed.source != source:
                    raise UsageError(
                        f"{name} is installed from {installed.source}: choose another --name, or "
                        f"`memagent model remove {name}` first"
                    )
                yield None
                return
            partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self.root))
            try:
                yield partial
                record = json.dumps({"name": name, "source": source}, indent=2)
                (partial / _RECORD).write_text(record + "\n", encoding="utf-8")
                _make_durable(partial)
                partial.rename(self._folder(name))
            finally:
                shutil.rmtree(partial, ignore_errors=True)

    def _folder(self, name: str) -> Path:
        return self.root / name.replace("/", "--")

    @contextmanager
    def _locked(self, waiting: Callable[[], None]) -> Iterator[None]:
        """A block that one process at a time runs; what a killed one left is deleted first."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(lock, fcntl.LOCK_EX)
            for left in self.root.glob(f"{_PARTIAL}*"):
                shutil.rmtree(left, ignore_errors=True)
            yield

    @contextmanager
    def _full_disk_in_one_line(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            cause: BaseException | None = error
            while cause is not None:
                if getattr(cause, "errno", None) in _FULL or _FULL_WORDS.search(str(cause)):
                    raise MemagentError(
                        f"the disk of {self.root} is full, so {name} is not installed: free some "
                        "space, or name a folder on another disk with MEMAGENT_MODELS"
                    ) from error
                cause = cause.__cause__
            if isinstance(error, OSError):
                raise MemagentError(
                    f"{name} cannot be installed in {self.root}: {error.strerror or error}"
                ) from error
            raise


def check_room(folder: Path, needed: int) -> None:
    """Raise MemagentError if the disk of a folder has less room than the bytes `needed`."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise MemagentError(
            f"the model needs {needed // 10**6:,} MB, and the disk of {folder.parent} has "
            f"{free // 10**6:,} MB free: free some space, or name a folder on another disk with "
            "MEMAGENT_MODELS"
        )


def _read(folder: Path) -> Installed | None:
    """The model in a folder of the library; None if it holds none."""
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return Installed(str(record["name"]), folder, str(record["source"]), size)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _make_durable(folder: Path) -> None:
    """Write the files of a folder to the disk, so that a power failure cannot truncate them."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
