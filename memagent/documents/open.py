"""Opening a document from a file or a stream: its name, its hash, its format and its pieces."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from memagent.documents.archive import human_size
from memagent.documents.formats.table import format_of
from memagent.documents.sniff import media_type
from memagent.errors import InputError, NotFoundError
from memagent.types import Piece

__all__ = ["MAX_BYTES", "Document", "open_document", "read_stdin"]

MAX_BYTES = 512 * 1024 * 1024
_BLOCK = 1 << 20
_IN_MEMORY = 8 * _BLOCK


@dataclass(frozen=True, slots=True)
class Document:
    """A document that can be read. The same bytes of the same media type give the same pieces.

    `uri` is the file's absolute address (file://...), None for a pipe; `sha256` is of the raw
    bytes, in hexadecimal; `named` is False if the name is only the path that was given.
    """

    name: str
    uri: str | None
    sha256: str
    media_type: str
    _open: Callable[[], BinaryIO] = field(repr=False, compare=False)
    _max_bytes: int = field(repr=False, compare=False)
    named: bool = True

    def pieces(self) -> Iterator[Piece]:
        """The text in order, each piece at most 8,000 characters; joined, they are the text.

        Reads lazily and may be called again. Raises InputError, possibly after some pieces, if
        the document is damaged, in no known encoding, or without words.
        """
        blank: list[Piece] | None = []  # held back: a document of white space has no pieces
        with _readable(self.name), self._open() as stream:
            read = format_of(self.media_type).read
            for piece in read(stream, self.name, self._max_bytes):
                if blank is not None and not piece.text.strip():
                    blank.append(piece)
                    continue
                yield from blank or ()
                blank = None
                yield piece
            self._open().close()  # raises if the file changed while it was read
        if blank is not None:
            raise InputError(f"{self.name} has no words in it: there is nothing to add")


def open_document(path: Path, *, name: str | None = None, max_bytes: int = MAX_BYTES) -> Document:
    """The document in the file `path`, shown to people as `name`.

    Raises NotFoundError if it does not exist, and InputError if it is not a file, cannot be read,
    is empty, has more than `max_bytes` bytes, or is of no known format.
    """
    named = name is not None
    name = _shown(path.as_posix() if name is None else name)
    with _readable(name):
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise InputError(f"{name} is a folder: give a file")
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{name} is a pipe or a device: give a file, or pipe it to stdin")
        if found.st_size > max_bytes:
            raise InputError(_too_big(name, human_size(found.st_size), max_bytes))
        if found.st_size == 0:
            raise InputError(f"{name} is empty: there is nothing to add")
        digest = hashlib.sha256()
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
            kind = media_type(stream, name)
        return Document(
            name=name,
            uri=path.resolve().as_uri(),
            sha256=digest.hexdigest(),
            media_type=kind,
            _open=partial(_open_unchanged, path, name, _stamp(found)),
            _max_bytes=max_bytes,
            named=named,
        )


def read_stdin(stream: BinaryIO, *, name: str, max_bytes: int = MAX_BYTES) -> Document:
    """The document that `stream` delivers, read to its end.

    More than 8 MiB go to a temporary file, which is deleted with the document. The suffix of
    `name` counts as a file's would. Raises InputError if the stream is empty, has more than
    `max_bytes` bytes, or is of no known format.
    """
    name = _shown(name)
    digest = hashlib.sha256()
    size = 0
    spool = _Spool()
    while block := stream.read(_BLOCK):
        size += len(block)
        if size > max_bytes:
            raise InputError(_too_big(name, f"more than {human_size(max_bytes)}", max_bytes))
        digest.update(block)
        spool.write(block)
    if size == 0:
        raise InputError(f"{name} is empty: there is nothing to add")
    with spool.open() as copy:
        kind = media_type(copy, name)
    return Document(name, None, digest.hexdigest(), kind, spool.open, max_bytes)


class _Spool:
    """Bytes that can be read again: in memory, or in a temporary file if there are many."""

    def __init__(self) -> None:
        self._memory = bytearray()
        self._path: Path | None = None

    def write(self, block: bytes) -> None:
        self._memory += block
        if self._path is None and len(self._memory) > _IN_MEMORY:
            handle, name = tempfile.mkstemp(prefix="memagent-")
            os.close(handle)
            self._path = Path(name)
            weakref.finalize(self, self._path.unlink, missing_ok=True)
        if self._path is not None:
            with self._path.open("ab") as stream:
                stream.write(self._memory)
            self._memory.clear()

    def open(self) -> BinaryIO:
        return BytesIO(self._memory) if self._path is None else self._path.open("rb")


def _open_unchanged(path: Path, name: str, stamp: tuple[int, ...]) -> BinaryIO:
    stream = path.open("rb")
    if _stamp(os.fstat(stream.fileno())) != stamp:
        stream.close()
        raise InputError(f"{name} was changed while it was read: add it again")
    return stream


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _too_big(name: str, size: str, max_bytes: int) -> str:
    return f"{name} is {size}, over the limit of {human_size(max_bytes)}: raise it with --max-mb"


def _shown(name: str) -> str:
    """A name that can be printed and stored, even if the file system's bytes are not UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotFoundError(f"{name} does not exist: check the path") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"{name} cannot be read: {reason}") from error
