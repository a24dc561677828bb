"""Cutting text into pieces of bounded length at the best place; knows nothing of formats.

Nothing is added and nothing lost: the pieces, joined, are the text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from operator import itemgetter

from memagent.types import Piece

__all__ = ["LIMIT", "Line", "chunks", "sections"]

LIMIT = 8000
"""The most characters of one piece."""

Line = tuple[int, str | None, str]
"""A stretch of text with the number of its block and the block's section."""

_BOUNDARIES = (
    ("\n\n", "\n\r\n", "\r\r"),
    ("\n", "\r"),
    (". ", "! ", "? ", "。", "！", "？"),
    (" ", "\t", "\u3000"),
)


def chunks(parts: Iterable[str], limit: int = LIMIT) -> Iterator[str]:
    """Join `parts` and cut them again into stretches of at most `limit` characters.

    Cuts after a paragraph, else a line, else a sentence, else a word, else anywhere. Where the
    cuts fall depends on the text alone, not on how it was parted.
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
    """One piece per block of `lines`, or several where a block is longer than LIMIT."""
    for (_, section), block in groupby(_lead_in(lines), key=itemgetter(0, 1)):
        for text in chunks(text for _, _, text in block):
            yield Piece(text, section=section)


def _lead_in(lines: Iterable[Line]) -> Iterator[Line]:
    """Give white space before the first words to their block, so that no piece is blank."""
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
    """Where the stretch from `start` ends: at most `limit` characters on, a quarter at least."""
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
