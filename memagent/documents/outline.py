"""The path of headings that leads to a position in a document; knows nothing of formats."""

from __future__ import annotations

__all__ = ["Outline"]

_LONGEST = 200  # a "heading" longer than this is a paragraph set in a heading's style


class Outline:
    """The current path of headings while a document is read from top to bottom."""

    def __init__(self) -> None:
        self._open: list[tuple[int, str]] = []

    def enter(self, level: int, title: str) -> str:
        """Enter a heading, leaving those of its level and below; the path is joined by ' > '."""
        while self._open and self._open[-1][0] >= level:
            self._open.pop()
        self._open.append((level, " ".join(title.split())[:_LONGEST]))
        return " > ".join(name for _, name in self._open)
