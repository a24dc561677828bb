"""What data sets are read into. Knows nothing of any set's format.

An `Item` is a question with the passage that answers it. A `History` is something to remember (a
conversation over months, a meeting, a story) with questions whose evidence is labelled by turn;
the sections of a story are turns without a speaker. A `Document` has event boundaries marked by
people: it is segmented as one text in which each unit (a turn of a meeting, a sentence, a clause)
is a line, and a boundary is the number of the unit that starts an event, never 0.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

__all__ = [
    "Asked",
    "Document",
    "History",
    "Item",
    "Turn",
    "cost",
    "find_all",
    "inner_boundaries",
    "one_line",
    "sizes_of",
]

# The estimate that published LoCoMo figures use, so that ours are comparable.
_TOKENS_PER_WORD, _LABEL = 1.33, 6


@dataclass(frozen=True, slots=True)
class Item:
    """A question, its passage and its answers.

    `spans` are the answers as characters [start, end) of `passage`, where the passage contains
    them verbatim; `answers` are the answers as the set gives them. Items of one `group` (an
    article, a story, a dialogue) are about the same subject; `source` names the set.
    """

    source: str
    group: str
    question: str
    passage: str
    spans: tuple[tuple[int, int], ...]
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance. `session` counts from 0; `time` is ISO 8601, or None if unknown."""

    session: int
    speaker: str
    text: str
    time: str | None = None

    @property
    def said(self) -> str:
        """The text prefixed with its speaker, as in a transcript."""
        return f"{self.speaker}: {self.text}" if self.speaker else self.text

    @property
    def tokens(self) -> int:
        """Tokens that the turn takes from a budget."""
        return cost(self.said)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question; `gold` holds the numbers of the turns that answer it, at least one.

    `answers` are the right answers as the set gives them, where its reader reads them.
    """

    question: str
    category: str
    gold: tuple[int, ...]
    answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class History:
    """Turns in order, and questions; `unresolved` counts evidence labels that match no turn.

    `unanswerable` are questions that the turns do not answer, where the set has them.
    """

    name: str
    turns: tuple[Turn, ...]
    asked: tuple[Asked, ...]
    unresolved: int = 0
    unanswerable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """Units in order, and the `gold` boundaries: ascending, from 1 to len(units) - 1."""

    name: str
    units: tuple[str, ...]
    gold: tuple[int, ...]

    @property
    def text(self) -> str:
        """The whole document, one unit per line."""
        return "\n".join(self.units)

    @property
    def starts(self) -> list[int]:
        """Where each unit starts in the text, in characters."""
        return [0, *accumulate(len(unit) + 1 for unit in self.units[:-1])]

    def boundaries(self, offsets: Iterable[int]) -> tuple[int, ...]:
        """The units that start nearest to `offsets`, in characters, except the first unit."""
        starts = self.starts
        found = set()
        for offset in offsets:
            after = min(bisect_left(starts, offset), len(starts) - 1)
            before = max(after - 1, 0)
            nearer = offset - starts[before] <= starts[after] - offset
            found.add(before if nearer else after)
        return tuple(sorted(found - {0}))


def cost(said: str) -> int:
    """Estimated tokens of a text and its label, from its number of words."""
    return int(_TOKENS_PER_WORD * len(said.split())) + _LABEL


def find_all(passage: str, answer: str) -> list[tuple[int, int]]:
    """Where `answer` occurs in `passage` as whole words, ignoring case and white space."""
    words = answer.strip().rstrip(".").split()
    if not words:
        return []
    pattern = r"(?<!\w)" + r"\s+".join(map(re.escape, words)) + r"(?!\w)"
    return [match.span() for match in re.finditer(pattern, passage, re.IGNORECASE)]


def sizes_of(boundaries: Iterable[int], count: int) -> list[int]:
    """Sizes, in units, of the events that `boundaries` make of `count` units."""
    ends = [*boundaries, count]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def inner_boundaries(starts: Iterable[int], count: int) -> tuple[int, ...]:
    """The `starts` of events among `count` units, sorted, without the start of the document."""
    return tuple(sorted(set(starts) & set(range(1, count))))


def one_line(text: str) -> str:
    """The text on one line, with single spaces."""
    return " ".join(text.split())
