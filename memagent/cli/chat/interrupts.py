"""Ctrl-C: once stops the answer and keeps the part, twice leaves.

Knows nothing of answers and prompts; they say when an interrupt may strike.
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
    """While entered, SIGINT raises KeyboardInterrupt inside `armed()` only, and once.

    Elsewhere, and from the second time on, it is counted: what is being stored gets stored.
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
        """Where an interrupt may strike; one that came since the last `take` strikes at once."""
        self._armed = not self._presses
        try:
            if self._presses:
                raise KeyboardInterrupt
            yield
        finally:
            self._armed = False

    def take(self) -> int:
        """How often Ctrl-C was pressed since the last call."""
        presses, self._presses = self._presses, 0
        return presses

    def _pressed(self, number: int, frame: FrameType | None) -> None:
        self._presses += 1
        if self._armed:
            self._armed = False
            raise KeyboardInterrupt


class SecondPress:
    """Whether a Ctrl-C on an empty line is the second one; `note` shows the hint at the first."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._until = 0.0
        self._stopped = False

    def stopped(self) -> None:
        """An answer was stopped: a press right after the next prompt has come is the second."""
        self._stopped = True

    def prompting(self) -> None:
        """A prompt is about to come."""
        if self._stopped:
            self._stopped = False
            self._until = time.monotonic() + _QUICK

    def pressed(self) -> None:
        """Ctrl-C on an empty line: shows the hint, or raises KeyboardInterrupt: leave."""
        if time.monotonic() < self._until:
            raise KeyboardInterrupt
        self._until = float("inf")
        self._note(_HINT)

    def forgiven(self) -> None:
        """Something was typed: the next press is a first one."""
        self._until = 0.0
