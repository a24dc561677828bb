"""Print a chat: answers on stdout as they arrive, everything else on stderr."""

from __future__ import annotations

import sys

from memagent.cli.render.output import console, visible, write
from memagent.cli.render.thinking import ThinkingView

__all__ = ["Screen"]


class Screen:
    """stdout and stderr of a conversation. Only on a terminal are control characters replaced.

    `thinking` shows what the model thinks, unless `show_thinking` is false.
    """

    def __init__(self, *, show_thinking: bool = True) -> None:
        self.thinking = ThinkingView(shown=show_thinking)
        self._err_terminal = sys.stderr.isatty()
        self._line_open = False

    def stream(self, text: str) -> None:
        """Print a piece of an answer at once."""
        self.thinking.end()
        write(text)
        self._line_open = not text.endswith("\n")

    def end_line(self) -> None:
        """End the current line of thinking or of an answer if it is still open."""
        self.thinking.end()
        if self._line_open:
            self.stream("\n")

    def note(self, text: str) -> None:
        """Print a message about the conversation on stderr."""
        self.end_line()
        write(text + "\n", sys.stderr)

    def stopped(self, text: str) -> None:
        """Print a message after Ctrl-C, on a new line if the terminal has shown ^C."""
        if self._err_terminal and not self._line_open:
            text = "\n" + text
        self.note(text)

    def dim(self, text: str) -> None:
        """Print a message on stderr, less prominent than the answer."""
        self.end_line()
        out = console(stderr=True)
        shown = visible(text) if self._err_terminal else text
        out.print(shown, style=None if out.no_color else "dim", markup=False)
