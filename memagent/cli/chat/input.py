"""Where typed lines come from: a terminal with editing, a plain terminal, or a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from memagent.cli.chat.interrupts import Interrupts, SecondPress
from memagent.cli.chat.plain import Plain
from memagent.cli.chat.screen import Screen
from memagent.errors import UsageError

if TYPE_CHECKING:
    from prompt_toolkit.history import History

__all__ = ["Reader", "open_reader"]


class Reader(Protocol):
    """Reads lines. `interactive` is true if a user can answer questions."""

    interactive: bool
    press: SecondPress

    def read(self, inside: bool) -> str | None:
        """The next line, None at the end of the input; `inside` is true within a block."""

    def confirm(self, question: str) -> bool:
        """Ask a yes-or-no question."""

    def edit(self, text: str, *, lines: bool = True) -> str | None:
        """The edited text, None if the edit was cancelled; a single line if `lines` is false."""


def open_reader(
    interrupts: Interrupts, screen: Screen, history: History, words: Sequence[str]
) -> Reader:
    """The reader that suits stdin and the terminal. `words` are completed with Tab."""
    if sys.stdin is None:
        raise UsageError("there is nothing to read from: stdin is closed")
    if not sys.stdin.isatty():
        return Plain(interrupts, screen.note, interactive=False)
    has_terminal = sys.stdout.isatty() or sys.stderr.isatty()
    if not has_terminal or os.environ.get("TERM", "dumb").lower() in ("dumb", "unknown"):
        return Plain(interrupts, screen.note, interactive=True)
    from memagent.cli.chat.terminal import Terminal

    return Terminal(interrupts, screen.note, history, words)
