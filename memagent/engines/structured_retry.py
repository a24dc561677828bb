"""Asking a model for what it may get wrong: a few tries, each told what was wrong with the last.

Never more than a few: what cannot be had is said, and the caller goes on without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["ATTEMPTS", "Asked", "Unusable", "ask"]

ATTEMPTS = 3

# Characters of what was wrong that the model is told.
_WRONG = 160

_T = TypeVar("_T")


class Unusable(Exception):  # noqa: N818 - it is an answer that is told, not an error of the program
    """What a model answered cannot be used; the message tells it why."""


@dataclass(frozen=True, slots=True)
class Asked(Generic[_T]):
    """What was answered: a `value`, or None with all that was `said` and what was `wrong` last."""

    value: _T | None
    said: tuple[str, ...]
    wrong: str


def ask(say: Callable[[str, int], str], parse: Callable[[str], _T]) -> Asked[_T]:
    """Ask by `say`, which gets what was wrong before and the number of the try, from 1 on, until
    `parse` takes the answer: it raises Unusable for what it cannot take."""
    said: list[str] = []
    wrong = ""
    for attempt in range(1, ATTEMPTS + 1):
        said.append(say(wrong, attempt))
        try:
            return Asked(parse(said[-1]), tuple(said), "")
        except Unusable as error:
            wrong = str(error)[:_WRONG]
    return Asked(None, tuple(said), wrong)
