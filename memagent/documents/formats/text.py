"""Plain text, and text formats without their own reader; a piece is one or more paragraphs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from memagent.documents.encoding import characters
from memagent.documents.formats.base import Format
from memagent.documents.split import chunks
from memagent.types import Piece

__all__ = ["FORMAT", "read"]


def read(stream: BinaryIO, name: str, max_bytes: int) -> Iterator[Piece]:
    """Pieces of as many whole paragraphs as fit; only one piece is in memory at a time."""
    return map(Piece, chunks(characters(stream, name)))


FORMAT = Format(
    "text",
    {
        **dict.fromkeys((".txt", ".text", ".log"), "text/plain"),
        ".csv": "text/csv",
        ".tsv": "text/tab-separated-values",
        ".json": "application/json",
        ".jsonl": "application/jsonl",
        ".toml": "application/toml",
        ".yaml": "application/yaml",
        ".yml": "application/yaml",
        ".xml": "application/xml",
        ".rst": "text/x-rst",
        ".tex": "text/x-tex",
    },
    read,
)
