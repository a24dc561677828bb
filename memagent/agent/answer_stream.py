"""An answer that is read piece by piece, turned from callbacks into an iterator."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from memagent.errors import UsageError
from memagent.types import Answer

__all__ = ["AnswerStream"]


class AnswerStream(Iterator[str]):
    """The pieces of an answer; once they have been read, `answer` is the stored answer.

    Leaving the stream early (`close`, or the end of a `with` block) stops the engine and keeps the
    part that was written, as a partial answer. Iterating raises what the engine raises.

    `run` answers the turn; it calls its first argument with each piece of text, and its second one
    with each piece of thinking, which is not part of the stream.
    """

    def __init__(
        self, run: Callable[[Callable[[str], None], Callable[[str], None]], Answer]
    ) -> None:
        self._run = run
        self._pieces = SimpleQueue[str | None]()
        self._stopped = threading.Event()
        self._answer: Answer | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="answer", daemon=True)
        self._thread.start()

    @property
    def answer(self) -> Answer:
        """The stored answer; UsageError before the stream has ended."""
        if self._answer is None:
            raise UsageError("the answer is not complete: read the stream to its end first")
        return self._answer

    def __next__(self) -> str:
        if piece := self._pieces.get():
            return piece
        # Later calls find the end, too.
        self._pieces.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error
        raise StopIteration

    def close(self) -> None:
        """Stop the engine and keep what it wrote so far; safe to call twice."""
        self._stopped.set()
        self._thread.join()
        self._pieces.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _work(self) -> None:
        try:
            self._answer = self._run(self._hear, self._check_stopped)
        except Exception as error:
            self._error = error
        except KeyboardInterrupt:
            pass
        finally:
            self._pieces.put(None)

    def _hear(self, piece: str) -> None:
        self._check_stopped(piece)
        self._pieces.put(piece)

    def _check_stopped(self, piece: str) -> None:
        # As if Ctrl-C had reached this thread: the signal itself only reaches the main one.
        if self._stopped.is_set():
            raise KeyboardInterrupt
