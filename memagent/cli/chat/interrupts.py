"""Ctrl-C: pressed once it stops the answer and keeps the part, pressed twice it leaves.

Knows nothing about answers or prompts; they decide where an interrupt may be raised.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["Interrupts", "SecondPress"]

_QUICK = 1.5
_HINT = "(press Ctrl-C again or Ctrl-D to leave)"


class Interrupts:
    """A context in which SIGINT raises KeyboardInterrupt only inside `armed()`, and only once.

    Any other SIGINT is only counted, so that a write to the store is never cut short.
    """

    def __init__(self) -> None:
        self._presses = 0
        self._armed = False
        self._before: Any = None

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._pressed)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Let SIGINT raise; if one has come since the last `reset`, raise at once."""
        self._armed = not self._presses
        try:
            if self._presses:
                raise KeyboardInterrupt
            yield
        finally:
            self._armed = False

    def reset(self) -> int:
        """Clear the count; returns how often Ctrl-C was pressed since the last call."""
        presses, self._presses = self._presses, 0
        return presses

    def _pressed(self, number: int, frame: FrameType | None) -> None:
        self._presses += 1
        if self._armed:
            self._armed = False
            raise KeyboardInterrupt


class SecondPress:
    """Tells a second Ctrl-C on an empty line from a first, which shows a hint with `note`."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._until = 0.0
        self._stopped = False

    def answer_stopped(self) -> None:
        """Note that Ctrl-C stopped an answer: a press soon after the next prompt is the second."""
        self._stopped = True

    def before_prompt(self) -> None:
        """Note that a prompt is about to be shown."""
        if self._stopped:
            self._stopped = False
            self._until = time.monotonic() + _QUICK

    def pressed(self) -> None:
        """Handle Ctrl-C on an empty line: show the hint, or raise KeyboardInterrupt to leave."""
        if time.monotonic() < self._until:
            raise KeyboardInterrupt
        self._until = float("inf")
        self._note(_HINT)

    def reset(self) -> None:
        """Note that something was typed: the next press is a first one."""
        self._until = 0.0
