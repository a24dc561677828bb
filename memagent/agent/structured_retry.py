"""Ask a model for output that must parse, and retry a few times with the reason for the rejection.

After the last attempt the caller gets the reason and continues without the output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from memagent.types import Chunk

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


def ask(generate: Callable[[str, int], Chunk], parse: Callable[[str], _T]) -> Outcome[_T]:
    """Call `generate` until `parse` accepts its output, at most `ATTEMPTS` times.

    `generate` gets the reason of the last rejection ("" at first) and the number of the attempt,
    from 1. `parse` gets the text of its output and raises Unusable to reject it.
    """
    outputs: list[str] = []
    rejection = ""
    for attempt in range(1, ATTEMPTS + 1):
        written = generate(rejection, attempt)
        outputs.append(written.text)
        try:
            return Outcome(parse(written.text), tuple(outputs), "")
        except Unusable as error:
            rejection = _reason(written, error)
    return Outcome(None, tuple(outputs), rejection)


def _reason(written: Chunk, error: Unusable) -> str:
    """Why an output was rejected: how it ended, if that explains the error."""
    if not written.text.strip():
        return "all of it was thinking" if written.thinking.strip() else "it was empty"
    if written.finish == "length":
        return "it was cut at the token limit"
    return str(error)[:_REASON]
