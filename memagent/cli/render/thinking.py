"""Show what a reasoning model thinks, dim and on a terminal only."""

from __future__ import annotations

import sys

from memagent.cli.render.output import console, visible

__all__ = ["ThinkingView"]


class ThinkingView:
    """Prints thinking on stderr as it streams, if stderr is a terminal and `shown` is true."""

    def __init__(self, *, shown: bool = True) -> None:
        self.shown = shown
        self._terminal = sys.stderr.isatty()
        self._open = False

    def write(self, text: str) -> None:
        """Print a piece of thinking."""
        if not self.shown or not self._terminal:
            return
        if not self._open:
            text = f"(thinking) {text.lstrip()}"
            self._open = True
        out = console(stderr=True)
        style = None if out.no_color else "dim"
        out.print(visible(text), style=style, end="", markup=False)
        sys.stderr.flush()

    def end(self) -> None:
        """End the line if something was printed, before anything else is."""
        if self._open:
            self._open = False
            sys.stderr.write("\n")
            sys.stderr.flush()
