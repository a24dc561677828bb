"""A question as both channels look for it: its words and its vector, made once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memagent.memory.index.embedder import Reading
from memagent.memory.recall.language.dates import Days

__all__ = ["Query"]


@dataclass(frozen=True, slots=True)
class Query:
    """`words` are those worth looking for, `reading` is how the embedder read it, none of a blank
    text, and `days` are those it names."""

    text: str
    words: Sequence[str]
    reading: Reading | None
    days: Sequence[Days]
