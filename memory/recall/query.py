"""A question prepared for the channels: its words and its vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memagent.memory.index.embedder import Reading
from memagent.memory.recall.language.dates import Days

__all__ = ["Query"]


@dataclass(frozen=True, slots=True)
class Query:
    """A prepared question.

    `words` are the words to search for, `reading` is what the embedder made of the text (None for a
    blank one), and `days` are the days that it names.
    """

    text: str
    words: Sequence[str]
    reading: Reading | None
    days: Sequence[Days]
