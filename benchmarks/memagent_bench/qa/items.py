"""A question with the passage that answers it. Knows nothing of any set's format."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Item", "find_all"]


@dataclass(frozen=True, slots=True)
class Item:
    """`spans` are the answers as characters [start, end) of `passage`, where they stand there
    word for word; `answers` are the answers as the set gives them. Items of one `group` (an
    article, a story, a dialogue) speak of the same things; `source` names the set.
    """

    source: str
    group: str
    question: str
    passage: str
    spans: tuple[tuple[int, int], ...]
    answers: tuple[str, ...]


def find_all(passage: str, answer: str) -> list[tuple[int, int]]:
    """Where `answer` stands in `passage` as whole words, whatever its case and white space."""
    words = answer.strip().rstrip(".").split()
    if not words:
        return []
    pattern = r"(?<!\w)" + r"\s+".join(map(re.escape, words)) + r"(?!\w)"
    return [match.span() for match in re.finditer(pattern, passage, re.IGNORECASE)]
