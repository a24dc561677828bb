"""Measure how much a text repeats itself: a sign of a model in a loop.

Only text that a model wrote is checked: users may repeat themselves, and a model may quote them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from memagent.memory.segmentation.sentences import sentences

__all__ = ["MOST_REPEATED", "repeated_share", "runs_in_a_circle"]

# A larger share of repeated sentences is not a coincidence.
MOST_REPEATED = 0.2

# Shorter sentences, in characters without punctuation, recur in any text.
_SHORTEST = 16

# The longest loop in sentences, and the characters at the end of a text that are searched.
_LONGEST_CIRCLE = 8
_LOOKED_AT = 6000


def repeated_share(text: str, earlier: Iterable[str]) -> float:
    """The share of `text`, in characters and from 0.0 to 1.0, in sentences that occur in `earlier`
    or before in `text` itself. Case, punctuation and white space are ignored."""
    seen = {sentence for each in earlier for sentence in _sentences(each)}
    whole = repeated = 0
    for sentence in _sentences(text):
        whole += len(sentence)
        if len(sentence) >= _SHORTEST and sentence in seen:
            repeated += len(sentence)
        seen.add(sentence)
    return repeated / whole if whole else 0.0


def runs_in_a_circle(text: str) -> bool:
    """Whether `text` ends with the same few sentences for the third time in a row."""
    end = text[-_LOOKED_AT:]
    if end.count(end[-_SHORTEST // 2 :]) < 3:
        return False  # the usual case, and cheap to detect
    found = list(_sentences(end))
    return any(
        found[-length:] == found[-2 * length : -length] == found[-3 * length : -2 * length]
        and sum(map(len, found[-length:])) >= _SHORTEST
        for length in range(1, min(_LONGEST_CIRCLE, len(found) // 3) + 1)
    )


def _sentences(text: str) -> Iterator[str]:
    for start, end, _ in sentences(text):
        if words := " ".join(re.findall(r"\w+", text[start:end].casefold())):
            yield words
