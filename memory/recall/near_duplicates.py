"""Detects texts that repeat one another: the same words in the same order.

Knows nothing of events or scores.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict

__all__ = ["Repeats"]

_WORD = re.compile(r"\w+")
_RUN = 3  # words
_SHARE = 0.9


class Repeats:
    """The texts seen so far.

    A text repeats another if the other contains nine tenths of its runs of three words
    (w-shingling, Broder 1997) and all of its numbers: one digit makes a different fact.
    """

    def __init__(self) -> None:
        self._numbers: list[set[str]] = []  # the numbers of each text
        self._places: dict[tuple[str, ...], list[int]] = defaultdict(list)

    def __contains__(self, text: str) -> bool:
        runs, numbers = _shingles(text)
        shared = Counter(place for run in runs for place in self._places.get(run, ()))
        return any(
            count >= _SHARE * len(runs) and numbers <= self._numbers[place]
            for place, count in shared.most_common()
        )

    def add(self, text: str) -> None:
        """Add a text to those seen."""
        runs, numbers = _shingles(text)
        for run in runs:
            self._places[run].append(len(self._numbers))
        self._numbers.append(numbers)


def _shingles(text: str) -> tuple[set[tuple[str, ...]], set[str]]:
    words = [word.casefold() for word in _WORD.findall(text)]
    numbers = {word for word in words if any(map(str.isdigit, word))}
    # A shorter text is one run that includes its end, so that "yes" is not in every text.
    if len(words) < _RUN:
        return ({(*words, "")} if words else set()), numbers
    return {tuple(words[at : at + _RUN]) for at in range(len(words) - _RUN + 1)}, numbers
