"""Loading, embedding and indexing while the user reads and types."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from memagent.agent.graph import Agent
from memagent.errors import MemagentError

__all__ = ["Background"]


class _LeavingError(Exception):
    """The chat ends before the work does; the rest is made from the store later."""


class Background:
    """One thread for the whole chat, because every thread holds a connection to the store.

    Its errors are not shown: the next recall does the same work and meets them itself. `then` is
    called when the work is done, with what it has to call now and then while it does its own.
    """

    def __init__(
        self, agent: Agent, then: Callable[[Callable[[str], None]], None] = lambda alive: None
    ) -> None:
        self._then = then
        self.ready = threading.Event()
        self._agent = agent
        self._wake = threading.Event()
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="background", daemon=True)
        self._wake.set()
        self._thread.start()

    def wake(self) -> None:
        """Embed and index what was stored since."""
        self._wake.set()

    def close(self, seconds: float) -> bool:
        """Stop, at the latest after `seconds`; returns whether the thread has ended."""
        self._leaving.set()
        self._wake.set()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            # Importing torch cannot be interrupted and taken up again: it must not happen in the
            # main thread, where Ctrl-C strikes.
            with suppress(MemagentError):
                self._agent.memory.embedder.encode(["ready"])
                assert self._agent.graph is not None
        finally:
            self.ready.set()
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._leaving.is_set():
                return
            with suppress(MemagentError, _LeavingError):
                self._agent.memory.catch_up(self._go_on)
                self._then(self._alive)

    def _alive(self, text: str) -> None:
        if self._leaving.is_set():
            raise _LeavingError

    def _go_on(self, done: int, total: int) -> None:
        if self._leaving.is_set():
            raise _LeavingError
