"""Load models, embed and index in a thread while the user reads and types."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from memagent.agent.graph import Agent
from memagent.errors import MemagentError

__all__ = ["Background"]


class _LeavingError(Exception):
    """The chat ended before the work did; the rest is rebuilt from the store later."""


class Background:
    """One thread for the whole chat, because each thread holds a connection to the store.

    Its errors are not shown: the next recall does the same work and raises them itself.
    `after_indexing` is called when the index is up to date. It gets a function that it must call
    for each piece of text it generates; the function raises once the chat is ending.
    """

    def __init__(
        self,
        agent: Agent,
        after_indexing: Callable[[Callable[[str], None]], None] = lambda on_text: None,
    ) -> None:
        self._after_indexing = after_indexing
        self.ready = threading.Event()
        self._agent = agent
        self._wake = threading.Event()
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="background", daemon=True)
        self._wake.set()
        self._thread.start()

    def wake(self) -> None:
        """Embed and index whatever is new in the store."""
        self._wake.set()

    def close(self, seconds: float) -> bool:
        """Stop and wait up to `seconds`; returns whether the thread has ended."""
        self._leaving.set()
        self._wake.set()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            # An interrupted import of torch cannot be repeated, so torch is not imported in the
            # main thread, where Ctrl-C raises.
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
                self._agent.memory.catch_up(self._check_progress)
                self._after_indexing(self._check_text)

    def _check_text(self, text: str) -> None:
        if self._leaving.is_set():
            raise _LeavingError

    def _check_progress(self, done: int, total: int) -> None:
        if self._leaving.is_set():
            raise _LeavingError
