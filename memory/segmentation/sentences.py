"""Cuts a span into events of whole sentences by size, which needs no language model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from memagent.memory.segmentation.scorer import Score, score

__all__ = [
    "Segmenter",
    "Sentences",
    "estimate_tokens",
    "sentences",
    "sentences_around",
    "short_sentences",
]


class Segmenter(Protocol):
    """Cuts text into events."""

    @property
    def id(self) -> str:
        """The name and parameters, stored with every span that this segmenter cuts."""

    def cut(self, text: str, score: Score = score) -> list[tuple[int, int]]:
        """The character ranges [start, end) of the events of `text`, in order and disjoint.

        A segmenter that needs the surprise of the text calls `score` for it.
        """


def estimate_tokens(text: str) -> int:
    """Estimated tokens of `text`: the larger of 4 per 3 words and 1 per 4 characters."""
    return max(len(text.split()) * 4 // 3, len(text) // 4, 1)


def sentences(text: str) -> Iterator[tuple[int, int, bool]]:
    """The sentences of `text` as (start, end, opens a paragraph), without surrounding white space.

    Text without letters or digits, such as rules and redactions, is skipped.
    """
    from sentencex import get_sentence_boundaries

    opens = True
    for boundary in get_sentence_boundaries("en", text):
        start, end = boundary["start_index"], boundary["end_index"]
        inner = text[start:end].strip()
        if not any(character.isalnum() for character in inner):
            opens = opens or boundary["is_paragraph_break"]
            continue
        start += text[start:end].index(inner)
        yield start, start + len(inner), opens
        opens = False


def short_sentences(text: str, most: int) -> Iterator[tuple[int, int, bool]]:
    """Like `sentences`, but splits sentences of more than `most` tokens, at spaces if possible."""
    limit = most * 4  # characters: estimate_tokens counts at least one token per four
    for start, end, opens in sentences(text):
        first = opens
        while end - start > limit or estimate_tokens(text[start:end]) > most:
            cut = _last_space(text, start, min(end, start + limit), most)
            yield start, cut, first
            first = False
            start = cut + (len(text[cut:end]) - len(text[cut:end].lstrip()))
        if start < end:
            yield start, end, first


def _last_space(text: str, start: int, end: int, most: int) -> int:
    """The last space at which to cut so that at most `most` tokens remain."""
    while estimate_tokens(text[start:end]) > most or end - start == most * 4:
        cut = max(text.rfind(" ", start, end), text.rfind("\n", start, end))
        if cut <= start:
            return end
        end = cut
    return end


def sentences_around(text: str, start: int, end: int) -> tuple[int, int]:
    """The range [start, end) extended to whole sentences."""
    inside = [(a, b) for a, b, _ in sentences(text) if a < end and b > start]
    return (min(start, inside[0][0]), max(end, inside[-1][1])) if inside else (start, end)


class Sentences:
    """Segments text into events of whole sentences, of at most `most` tokens each.

    A paragraph begins a new event if the current one has at least `least` tokens. Sentences of
    more than `most` tokens are split between words.
    """

    def __init__(self, least: int = 64, most: int = 128) -> None:
        self.least = least
        self.most = most
        self.id = f"sentences-{least}-{most}"

    def cut(self, text: str, score: Score = score) -> list[tuple[int, int]]:
        events: list[tuple[int, int]] = []
        size = 0
        for start, end, opens in short_sentences(text, self.most):
            tokens = estimate_tokens(text[start:end])
            full = size + tokens > self.most or (opens and size >= self.least)
            if events and not full:
                events[-1] = (events[-1][0], end)
                size += tokens
            else:
                events.append((start, end))
                size = tokens
        return events
