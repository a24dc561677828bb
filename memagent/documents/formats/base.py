"""What a document format consists of: the names and content it is recognised by, and its reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from memagent.types import Piece

__all__ = ["Format", "Reader"]

Reader = Callable[[BinaryIO, str, int], Iterator[Piece]]
"""From a binary stream, the document's name and a limit in bytes to its pieces.

The stream can seek and is at its start. The limit holds for what an archive unpacks to. Raises
InputError, possibly after some pieces, for a document that is damaged, locked or too large.
"""


@dataclass(frozen=True, slots=True)
class Format:
    """A document format; `table.py` lists them all.

    name: for people. media_types: the media type of each file name suffix; the first is that of a
    document recognised by its content. A binary format is recognised by `magic`, the first bytes
    of a file, or by `member`, the path of a file in a ZIP archive; a textual one by
    `matches`, which gets the first bytes of a file whose name has no known suffix.
    """

    name: str
    media_types: Mapping[str, str]
    read: Reader
    magic: bytes | None = None
    member: str | None = None
    matches: Callable[[bytes], bool] | None = None

    @property
    def media_type(self) -> str:
        """The media type of a document recognised by its content."""
        return next(iter(self.media_types.values()))

    @property
    def binary(self) -> bool:
        """Whether the format is not text."""
        return self.magic is not None or self.member is not None
