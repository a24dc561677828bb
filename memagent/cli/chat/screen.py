"""What a chat prints: answers on stdout as they come, everything else on stderr."""

from __future__ import annotations

import sys

from memagent.cli.render.output import console, visible, write

__all__ = ["Screen"]


class Screen:
    """The two streams of a conversation; a stream that is no terminal gets the text unchanged."""

    def __init__(self) -> None:
        self._err_terminal = sys.stderr.isatty()
        self._line_open = False

    def stream(self, text: str) -> None:
        """A piece of an answer, shown at once."""
        write(text)
        self._line_open = not text.endswith("\n")

    def end_line(self) -> None:
        """Close a line of an answer that was left open."""
        if self._line_open:
            self.stream("\n")

    def note(self, text: str) -> None:
        """Lines about the conversation."""
        self.end_line()
        write(text + "\n", sys.stderr)

    def stopped(self, text: str) -> None:
        """A note behind the ^C that a terminal has shown."""
        if self._err_terminal and not self._line_open:
            text = "\n" + text
        self.note(text)

    def dim(self, text: str) -> None:
        """Lines that stand back behind the answer."""
        self.end_line()
        out = console(stderr=True)
        shown = visible(text) if self._err_terminal else text
        out.print(shown, style=None if out.no_color else "dim", markup=False)
