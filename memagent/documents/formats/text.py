"""Plain text, and every textual format without a reader of its own; pieces are paragraphs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from memagent.documents.encoding import characters
from memagent.documents.split import chunks
from memagent.types import Piece

__all__ = ["read"]


def read(stream: BinaryIO, name: str) -> Iterator[Piece]:
    """Blocks of whole paragraphs, as many as fit a piece; one piece is in memory at a time."""
    return map(Piece, chunks(characters(stream, name)))
