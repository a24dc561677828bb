"""Ask a model for output that must parse, and retry a few times with the reason for the rejection.

After the last attempt the caller gets the reason and continues without the output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["ATTEMPTS", "Outcome", "Unusable", "ask"]

ATTEMPTS = 3

# Longest reason in a prompt, in characters.
_REASON = 160

_T = TypeVar("_T")


class Unusable(Exception):  # noqa: N818 - it is a message to the model, not an error of the program
    """The output of a model cannot be used; the message tells the model why."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[_T]):
    """The parsed `value`, or None with the reason of the last rejection; `outputs` are all texts
    that the model wrote."""

    value: _T | None
    outputs: tuple[str, ...]
    rejection: str


def ask(generate: Callable[[str, int], str], parse: Callable[[str], _T]) -> Outcome[_T]:
    """Call `generate` until `parse` accepts its output, at most `ATTEMPTS` times.

    `generate` gets the reason of the last rejection ("" at first) and the number of the attempt,
    from 1. `parse` raises Unusable to reject an output.
    """
    outputs: list[str] = []
    rejection = ""
    for attempt in range(1, ATTEMPTS + 1):
        outputs.append(generate(rejection, attempt))
        try:
            return Outcome(parse(outputs[-1]), tuple(outputs), "")
        except Unusable as error:
            rejection = str(error)[:_REASON]
    return Outcome(None, tuple(outputs), rejection)
