"""Find the files that paths, folders and glob patterns refer to; opens none of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from memagent.errors import InputError, NotFoundError, UsageError

__all__ = ["discover"]

_SKIPPED = frozenset(("__pycache__", "node_modules"))
_WILD = frozenset("*?[")


def discover(arguments: Sequence[str], *, strict: bool = True) -> Iterator[Path]:
    """The files that `arguments` name, each once, in order; within a folder or pattern sorted by
    name, files before folders.

    Folders are searched recursively; a pattern may contain `**`. Both skip hidden names, caches
    and installed packages, and do not follow links to folders. If `strict`, an argument that does
    not exist (checked before the first file is yielded) or matches nothing raises NotFoundError,
    and an unreadable folder InputError; otherwise they are skipped.
    """
    if strict:
        for argument in arguments:
            if not _exists(argument) and not _is_pattern(argument):
                raise NotFoundError(f"{argument} does not exist: check the path")
    seen: set[Path] = set()
    for argument in arguments:
        nothing = True
        for path in _files(argument, strict):
            nothing = False
            real = path.resolve()
            if real not in seen:
                seen.add(real)
                yield path
        if nothing and strict:
            verb = "holds" if _exists(argument) else "matches"
            raise NotFoundError(f"{argument} {verb} no files: check the path")


def _exists(argument: str) -> bool:
    return os.path.lexists(argument)


def _is_pattern(argument: str) -> bool:
    return not _WILD.isdisjoint(argument)


def _files(argument: str, strict: bool) -> Iterator[Path]:
    if Path(argument).is_dir():
        yield from _walk(Path(argument), strict)
    elif _exists(argument):
        yield Path(argument)
    elif _is_pattern(argument):
        for path in _matches(argument):
            if path.is_dir():
                if not path.is_symlink():
                    yield from _walk(path, strict)
            elif path.is_file():
                yield path


def _walk(folder: Path, strict: bool) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        if strict:
            reason = (error.strerror or str(error)).lower()
            raise InputError(f"{error.filename} cannot be read: {reason}") from error

    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if _wanted(name))
        for name in sorted(names):
            path = Path(parent, name)
            if _wanted(name) and path.is_file():
                yield path


def _matches(pattern: str) -> list[Path]:
    """The sorted matches of a pattern; hidden names only if the pattern has a leading dot."""
    parts = Path(pattern).parts
    fixed = next(index for index, part in enumerate(parts) if _is_pattern(part))
    root, wild = Path(*parts[:fixed]), parts[fixed:]
    hidden = any(part.startswith(".") for part in wild)
    try:
        found = sorted(root.glob(str(Path(*wild))))
    except ValueError as error:
        raise UsageError(f"{pattern} is not a pattern: write ** alone between slashes") from error
    return [
        path
        for path in found
        if all(_wanted(part, hidden) for part in path.relative_to(root).parts)
    ]


def _wanted(name: str, hidden: bool = False) -> bool:
    return name not in _SKIPPED and (hidden or not name.startswith("."))
