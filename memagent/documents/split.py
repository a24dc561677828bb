"""Splitting text into pieces of bounded length at the best boundaries.

The pieces, joined, are exactly the text. Knows nothing of formats.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from operator import itemgetter

from memagent.types import Piece

__all__ = ["LIMIT", "Line", "chunks", "sections"]

LIMIT = 8000
"""Maximum length of a piece in characters."""

Line = tuple[int, str | None, str]
"""The number of a block, the block's section, and a part of its text."""

_BOUNDARIES = (
    ("\n\n", "\n\r\n", "\r\r"),
    ("\n", "\r"),
    (". ", "! ", "? ", "。", "！", "？"),
    (" ", "\t", "\u3000"),
)


def chunks(parts: Iterable[str], limit: int = LIMIT) -> Iterator[str]:
    """Join `parts` and split the text again into chunks of at most `limit` characters.

    Splits after a paragraph, else a line, else a sentence, else a word, else anywhere. The result
    depends only on the text, not on how `parts` divide it.
    """
    buffer = ""
    for part in parts:
        buffer += part
        start = 0
        while len(buffer) - start > limit:
            end = _cut(buffer, start, limit)
            yield buffer[start:end]
            start = end
        if start:
            buffer = buffer[start:]
    if buffer:
        yield buffer


def sections(lines: Iterable[Line]) -> Iterator[Piece]:
    """One piece per block of `lines`, or several if a block is longer than LIMIT."""
    for (_, section), block in groupby(_lead_in(lines), key=itemgetter(0, 1)):
        for text in chunks(text for _, _, text in block):
            yield Piece(text, section=section)


def _lead_in(lines: Iterable[Line]) -> Iterator[Line]:
    """Add leading white space to the block of the first words, so that no piece is blank."""
    rest = iter(lines)
    blank: list[str] = []
    for number, section, text in rest:
        if not text or text.isspace():
            blank.append(text)
            continue
        first = ((number, section, part) for part in (*blank, text))
        yield from chain(first, rest)
        return
    yield from ((0, None, text) for text in blank)


def _cut(text: str, start: int, limit: int) -> int:
    """The end of the chunk from `start`: a quarter of `limit` to all of it further on."""
    low, high = start + limit // 4, start + limit
    for marks in _BOUNDARIES:
        found = [at + len(mark) for mark in marks if (at := text.rfind(mark, low, high)) >= 0]
        if found:
            end = max(found)
            break
    else:
        end = high
        while end > low and unicodedata.combining(text[end]):
            end -= 1
    if text[end - 1] == "\r" and text[end] == "\n":
        end -= 1
    return end
