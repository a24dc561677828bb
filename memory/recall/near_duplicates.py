"""Telling that a text says again what another says: the same words in the same order.

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
    """What was said so far. A text repeats another if nine tenths of its runs of three words stand
    there (w-shingling, Broder 1997) and every number of it: one digit makes another fact."""

    def __init__(self) -> None:
        self._said: list[set[str]] = []  # the numbers of each text
        self._places: dict[tuple[str, ...], list[int]] = defaultdict(list)

    def __contains__(self, text: str) -> bool:
        runs, numbers = _taken_apart(text)
        shared = Counter(place for run in runs for place in self._places.get(run, ()))
        return any(
            count >= _SHARE * len(runs) and numbers <= self._said[place]
            for place, count in shared.most_common()
        )

    def add(self, text: str) -> None:
        """From now on this was said."""
        runs, numbers = _taken_apart(text)
        for run in runs:
            self._places[run].append(len(self._said))
        self._said.append(numbers)


def _taken_apart(text: str) -> tuple[set[tuple[str, ...]], set[str]]:
    words = [word.casefold() for word in _WORD.findall(text)]
    numbers = {word for word in words if any(map(str.isdigit, word))}
    # A shorter text is a run by itself, with its end: "yes" is not in every other text.
    if len(words) < _RUN:
        return ({(*words, "")} if words else set()), numbers
    return {tuple(words[at : at + _RUN]) for at in range(len(words) - _RUN + 1)}, numbers
