"""Histories with questions about them, whose evidence is known. Knows nothing of any set's format.

A history is what somebody would have put into memory: a conversation over months, a meeting, a
story. Its evidence is labelled by turn; the sections of a story are turns that nobody speaks.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Asked", "History", "Turn", "cost"]

# A turn costs what LoCoMo's figures elsewhere assume, so that ours stand beside them.
_TOKENS_PER_WORD, _LABEL = 1.33, 6


@dataclass(frozen=True, slots=True)
class Turn:
    """What was said at once. `session` counts from 0, `time` is ISO 8601 where it is known."""

    session: int
    speaker: str
    text: str
    time: str | None = None

    @property
    def said(self) -> str:
        """The text behind its speaker, as a protocol has it."""
        return f"{self.speaker}: {self.text}" if self.speaker else self.text

    @property
    def tokens(self) -> int:
        """What it takes of a budget."""
        return cost(self.said)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question; `gold` are the numbers of the turns that answer it, at least one."""

    question: str
    category: str
    gold: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class History:
    """Turns in order and questions; `unresolved` labels of evidence named no turn."""

    name: str
    turns: tuple[Turn, ...]
    asked: tuple[Asked, ...]
    unresolved: int = 0


def cost(said: str) -> int:
    """Tokens of a text with its label, from its words."""
    return int(_TOKENS_PER_WORD * len(said.split())) + _LABEL
