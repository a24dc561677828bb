"""Group lines into turns: a single line, or the lines between two lines of three quotes.

Knows nothing about where lines come from or what is done with a turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from memagent.errors import InputError

__all__ = ["FENCE", "BlockDroppedError", "Entries", "Entry"]

FENCE = '"""'


class BlockDroppedError(Exception):
    """The user cancelled a block before its end."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What was typed. A `literal` entry comes from a block: it is never a command."""

    text: str
    literal: bool = False


class Entries:
    """Reads entries. `read(inside)` returns a line, None at the end; `inside` means in a block."""

    def __init__(self, read: Callable[[bool], str | None]) -> None:
        self._read = read
        self._waiting: deque[str] = deque()

    def next(self) -> Entry | None:
        """The next entry, None at the end. The end of the input closes an open block.

        Raises InputError for a line that cannot be read; inside a block, once the block is closed.
        """
        line = self._line(False)
        if line is None or line.strip() != FENCE:
            return None if line is None else Entry(line)
        body: list[str] = []
        error_in_block: InputError | None = None
        while True:
            try:
                line = self._line(True)
            except InputError as error:
                error_in_block = error_in_block or error
                continue
            if line is None or line.strip() == FENCE:
                break
            body.append(line)
        if error_in_block is not None:
            raise error_in_block
        return Entry("\n".join(body), literal=True)

    def _line(self, inside: bool) -> str | None:
        if not self._waiting:
            text = self._read(inside)
            # Pasted lines come as one text. They are one turn, unless they begin a block.
            if text is None or not (inside or text.split("\n")[0].strip() == FENCE):
                return text
            self._waiting.extend(text.split("\n"))
        return self._waiting.popleft()
