"""What a chat prints: answers on stdout as they come, everything else on stderr."""

from __future__ import annotations

import sys

from memagent.commands.output import console

__all__ = ["Screen", "visible"]

# Stored text may hold escape sequences; a terminal must show them, not obey them.
_CONTROL: dict[int, int | None] = {
    code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n\r"
}
_CONTROL |= {ord("\r"): None, 0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)


def visible(text: str) -> str:
    """The text with a visible sign for every control character except tab and newline."""
    return text.translate(_CONTROL)


class Screen:
    """The two streams of a conversation; a stream that is no terminal gets the text unchanged."""

    def __init__(self) -> None:
        self._out_terminal = sys.stdout.isatty()
        self._err_terminal = sys.stderr.isatty()
        self._line_open = False

    def stream(self, text: str) -> None:
        """A piece of an answer, shown at once."""
        sys.stdout.write(visible(text) if self._out_terminal else text)
        sys.stdout.flush()
        self._line_open = not text.endswith("\n")

    def end_line(self) -> None:
        """Close a line of an answer that was left open."""
        if self._line_open:
            self.stream("\n")

    def note(self, text: str) -> None:
        """Lines about the conversation."""
        self.end_line()
        sys.stderr.write((visible(text) if self._err_terminal else text) + "\n")
        sys.stderr.flush()

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
