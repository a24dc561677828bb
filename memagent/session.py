"""A conversation that continues after exit: turns in the store, the newest ones in the prompt."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime

from memagent.agent import Agent, _ignore, _refuse
from memagent.core import Answer
from memagent.errors import NotFoundError
from memagent.memory.events import Filter
from memagent.memory.items import Span
from memagent.memory.memory import Memory

__all__ = ["ASK_SESSION", "Session", "new_name", "newest"]

# Single questions are kept in a session of their own, which is never recalled.
ASK_SESSION = "ask"

# The newest turns that go into the prompt word for word, and their share of the window.
_TURNS = 12
_SHARE = 4


def new_name() -> str:
    """A name for a session that was given none: the local date and time."""
    return datetime.now().strftime("%Y-%m-%d %H.%M.%S")


def newest(memory: Memory) -> str:
    """The name of the session that was used last; NotFoundError when there is none."""
    sessions = [s for s in memory.sources.all("session") if s.name != ASK_SESSION]
    if not sessions:
        raise NotFoundError(f"no session to continue in the namespace {memory.namespace!r}")
    return max(sessions, key=lambda session: session.updated).name


class Session:
    """One session of one namespace.

    A session that is not `remembered` (single questions) is stored like any other, but its turns
    are neither put into later prompts nor recalled.
    """

    def __init__(self, agent: Agent, name: str, *, remembered: bool = True) -> None:
        self.agent = agent
        self.memory = agent.memory
        self.source = self.memory.sources.session(name)
        self.remembered = remembered
        self._background: threading.Thread | None = None

    @property
    def name(self) -> str:
        """The session's name."""
        return self.source.name

    def tell(
        self,
        text: str,
        *,
        key: str | None = None,
        time: str | None = None,
        which: Filter | None = None,
        on_text: Callable[[str], None] = _ignore,
        confirm: Callable[[str], bool] = _refuse,
    ) -> Answer:
        """Store the user's turn, then answer it. With a `key`, a repeated turn is the same turn."""
        turn = self.memory.spans.append_turn(
            self.source.id, "user", text, time=time, key=key, segment=self.remembered
        )
        return self.answer(turn, which=which, on_text=on_text, confirm=confirm)

    def answer(
        self,
        turn: Span,
        *,
        which: Filter | None = None,
        on_text: Callable[[str], None] = _ignore,
        confirm: Callable[[str], bool] = _refuse,
    ) -> Answer:
        """Answer a stored turn."""
        return self.agent.answer(
            turn,
            self.source,
            history=self.history(turn),
            which=which,
            asked=not self.remembered,
            on_text=on_text,
            confirm=confirm,
        )

    def retry(self, **how: Callable[..., object]) -> Answer:
        """Withdraw the newest answer and answer the same turn again."""
        turn, answers = self._last_exchange()
        self._withdraw(answers)
        return self.answer(turn, **how)  # type: ignore[arg-type]

    def undo(self) -> str:
        """Withdraw the newest turn and what followed it; returns its text, which stays stored."""
        turn, answers = self._last_exchange()
        self._withdraw([turn, *answers])
        return turn.text

    def history(self, before: Span) -> tuple[Span, ...]:
        """The turns that stand before one and fit a share of the engine's window."""
        if not self.remembered:
            return ()
        engine = self.agent.engine
        room = engine.context // _SHARE
        kept: list[Span] = []
        turns = self.memory.spans.of(self.source.id, last=_TURNS + 2, withdrawn=False)
        for span in reversed([span for span in turns if span.ordinal < before.ordinal][-_TURNS:]):
            room -= engine.count(span.text)
            if room < 0:
                break
            kept.insert(0, span)
        return tuple(kept)

    def catch_up_in_background(self) -> None:
        """Embed and index the new turns while the user reads."""
        if self._background is None or not self._background.is_alive():
            self._background = threading.Thread(target=self.memory.catch_up, daemon=True)
            self._background.start()

    def close(self) -> None:
        """Wait for the background work."""
        if self._background is not None:
            self._background.join()

    def _last_exchange(self) -> tuple[Span, list[Span]]:
        spans = self.memory.spans.of(self.source.id, last=64, withdrawn=False)
        for position in range(len(spans) - 1, -1, -1):
            if spans[position].role == "user":
                return spans[position], spans[position + 1 :]
        raise NotFoundError("this session has no turn yet")

    def _withdraw(self, spans: list[Span]) -> None:
        with self.memory.store.write():
            self.memory.spans.withdraw([span.id for span in spans])
            for span in spans:
                self.memory.events.drop("span_id = ?", span.id)
