"""Turns out of lines: one line, or all that stands between two lines of three quotes.

Knows nothing of where lines come from and of what is done with a turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from memagent.errors import InputError

__all__ = ["FENCE", "BlockDroppedError", "Entries", "Entry"]

FENCE = '"""'


class BlockDroppedError(Exception):
    """The user gave up a block before its end."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What was typed; a `literal` entry, out of a block, is text whatever it begins with."""

    text: str
    literal: bool = False


class Entries:
    """Entries from `read`, which is told whether a block is open and returns None at the end."""

    def __init__(self, read: Callable[[bool], str | None]) -> None:
        self._read = read
        self._waiting: deque[str] = deque()

    def next(self) -> Entry | None:
        """The next entry, None at the end. A block that the input ends in is an entry too.

        Raises InputError for a line that cannot be read, for a block behind its end.
        """
        line = self._line(False)
        if line is None or line.strip() != FENCE:
            return None if line is None else Entry(line)
        body: list[str] = []
        wrong: InputError | None = None
        while True:
            try:
                line = self._line(True)
            except InputError as error:
                wrong = wrong or error
                continue
            if line is None or line.strip() == FENCE:
                break
            body.append(line)
        if wrong is not None:
            raise wrong
        return Entry("\n".join(body), literal=True)

    def _line(self, inside: bool) -> str | None:
        if not self._waiting:
            text = self._read(inside)
            # A paste comes as one text of many lines. It is one turn, unless a block begins in it.
            if text is None or not (inside or text.split("\n")[0].strip() == FENCE):
                return text
            self._waiting.extend(text.split("\n"))
        return self._waiting.popleft()
