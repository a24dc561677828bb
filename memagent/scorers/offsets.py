"""Find the character range of each token in a text, from the tokens' spelling in a vocabulary.

Two spellings are supported: an alphabet with one character per byte (GPT-2, Llama 3,
Qwen), and pieces with \u2581 for a space and <0x0A> for a byte (SentencePiece).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

__all__ = ["ranges"]

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_ANCHOR = 8  # bytes that must match to resynchronize
_FAR = 64  # most differing bytes, of text and tokens together, before that


def ranges(text: str, written: Sequence[str]) -> np.ndarray:
    """The character range of each token, int64 [n, 2], in order.

    A token for part of a character has the range of that character. If the tokenizer normalized a
    stretch of the text, its tokens share the range of the original stretch. A token without
    counterpart in the text (an added space) has an empty range.
    """
    import numpy as np

    data = text.encode("utf-8", "surrogatepass")
    lows, highs = _bytes(data, written)
    # The character that each byte belongs to; one more entry for the end of the text.
    lengths = [len(character.encode("utf-8", "surrogatepass")) for character in text]
    character = np.repeat(np.arange(len(text) + 1), [*lengths, 1])
    starts = character[lows]
    ends = np.where(highs > lows, character[np.maximum(highs, 1) - 1] + 1, starts)
    return np.stack((starts, ends), axis=1).astype(np.int64)


def _bytes(data: bytes, written: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The byte ranges, by the spelling that matches the most bytes of the text."""
    import numpy as np

    best: tuple[list[bytes], list[_Stretch]] = ([], [])
    most = -1
    for read in (_alphabetic, _piece):
        parts = [read(token) for token in written]
        stretches = list(_stretches(b"".join(parts), data))
        agreed = sum(one.length for one in stretches if one.equal)
        if agreed > most:
            best, most = (parts, stretches), agreed
        if agreed == len(data):
            break
    parts, stretches = best
    # The text's byte range for each byte of the tokens, and the end of the text.
    places = [_places(one) for one in stretches]
    low = np.concatenate([*(one for one, _ in places), [len(data)]]).astype(np.int64)
    high = np.concatenate([*(one for _, one in places), [len(data)]]).astype(np.int64)
    ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
    starts = ends - np.array([len(part) for part in parts], dtype=np.int64)
    filled = ends > starts
    return low[starts], np.where(filled, high[np.maximum(ends, 1) - 1], low[starts])


@dataclass(frozen=True, slots=True)
class _Stretch:
    """`length` bytes of the tokens that stand for the text's bytes [start, end)."""

    length: int
    start: int
    end: int
    equal: bool


def _places(stretch: _Stretch) -> tuple[np.ndarray, np.ndarray]:
    """The start and end in the text of each byte of a stretch."""
    import numpy as np

    if stretch.equal:
        return np.arange(stretch.start, stretch.end), np.arange(stretch.start, stretch.end) + 1
    return np.full(stretch.length, stretch.start), np.full(stretch.length, stretch.end)


def _stretches(own: bytes, text: bytes) -> Iterator[_Stretch]:
    """Align the tokens' bytes with the text's: stretches alternately equal and different."""
    i = j = 0
    while True:
        length = _alike(own, text, i, j)
        yield _Stretch(length, j, j + length, True)
        i, j = i + length, j + length
        if i == len(own) and j == len(text):
            return
        more, other = _apart(own, text, i, j)
        yield _Stretch(more, j, j + other, False)
        i, j = i + more, j + other


def _alike(own: bytes, text: bytes, i: int, j: int) -> int:
    """The number of equal bytes from these positions on."""
    if own[i:] == text[j:]:
        return len(own) - i
    most = min(len(own) - i, len(text) - j)
    return next((n for n in range(most) if own[i + n] != text[j + n]), most)


def _apart(own: bytes, text: bytes, i: int, j: int) -> tuple[int, int]:
    """The bytes of each to skip until both match again; all if they never do."""
    for total in range(1, _FAR):
        for more in range(total + 1):
            a = own[i + more : i + more + _ANCHOR]
            b = text[j + total - more : j + total - more + _ANCHOR]
            at_the_end = i + more + len(a) >= len(own) and j + total - more + len(b) >= len(text)
            if a == b and (len(a) == _ANCHOR or at_the_end):
                return min(more, len(own) - i), min(total - more, len(text) - j)
    return len(own) - i, len(text) - j


@cache
def _alphabet() -> dict[str, int]:
    """The character that stands for each byte: itself if it is visible, else the next of U+0100."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(visible)]
    own = {chr(byte): byte for byte in visible}
    return own | {chr(0x100 + n): byte for n, byte in enumerate(others)}


def _alphabetic(token: str) -> bytes:
    alphabet = _alphabet()
    if all(character in alphabet for character in token):
        return bytes(alphabet[character] for character in token)
    return token.encode("utf-8", "surrogatepass")


def _piece(token: str) -> bytes:
    found = _BYTE.fullmatch(token)
    if found:
        return bytes([int(found.group(1), 16)])
    return token.replace("\u2581", " ").encode("utf-8", "surrogatepass")
