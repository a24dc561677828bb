"""Conversations. Their turns are stored, so a later process can continue them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from memagent.agent.answer_stream import AnswerStream
from memagent.agent.graph import Agent, ignore, load_answer, refuse
from memagent.agent.transcript import Log, read_log
from memagent.errors import NotFoundError
from memagent.memory.events import Filter
from memagent.memory.namespace import Namespace
from memagent.memory.store.answers import AnswerRecord
from memagent.types import Answer, Span

__all__ = ["ASK_SESSION", "Session", "new_name", "newest"]

# Questions that belong to no conversation are stored in this session, which is never recalled.
ASK_SESSION = "ask"

# A new log begins with the text of at most this many turns, in at most 1/_SHARE of the window.
_TURNS = 12
_SHARE = 4


def new_name() -> str:
    """A name for a new session: the local date and time."""
    return datetime.now().strftime("%Y-%m-%d %H.%M.%S")


def newest(memory: Namespace) -> str:
    """The name of the session that was used last; NotFoundError if there is none."""
    # A session without text was opened and left again.
    sessions = [s for s in memory.sources.all("session") if s.name != ASK_SESSION and s.chars]
    if not sessions:
        raise NotFoundError(f"no session to continue in the namespace {memory.namespace!r}")
    return max(sessions, key=lambda session: session.updated).name


class Session:
    """One session of one namespace.

    The turns of a session that is not `remembered` are stored, but they are neither recalled nor
    put into later prompts.
    """

    def __init__(self, agent: Agent, name: str, *, remembered: bool = True) -> None:
        self.agent = agent
        self.memory = agent.memory
        self.source = self.memory.sources.session(name)
        self.remembered = remembered

    @property
    def name(self) -> str:
        """The session's name."""
        return self.source.name

    def ask(
        self,
        text: str,
        *,
        key: str | None = None,
        time: str | None = None,
        where: Filter | None = None,
        on_text: Callable[[str], None] = ignore,
        confirm: Callable[[str], bool] = refuse,
    ) -> Answer:
        """Store the user's turn, then answer it. A turn with a `key` is stored only once."""
        where = self.memory.resolve(where)  # fails before anything is stored
        turn = self.say(text, key=key, time=time)
        return self.answer(turn, where=where, on_text=on_text, confirm=confirm)

    def stream(self, text: str, *, where: Filter | None = None) -> AnswerStream:
        """Store the user's turn and answer it piece by piece; see `AnswerStream`."""
        where = self.memory.resolve(where)
        turn = self.say(text)
        return AnswerStream(lambda on_text: self.answer(turn, where=where, on_text=on_text))

    def say(self, text: str, *, key: str | None = None, time: str | None = None) -> Span:
        """Store the user's turn without answering it. It is on disk when this returns."""
        return self.memory.spans.append_turn(
            self.source.id, "user", text, time=time, key=key, segment=self.remembered
        )

    def answer(
        self,
        turn: Span,
        *,
        where: Filter | None = None,
        on_text: Callable[[str], None] = ignore,
        confirm: Callable[[str], bool] = refuse,
    ) -> Answer:
        """Answer a stored turn. `where` must be resolved; see `Namespace.resolve`."""
        heard: list[str] = []

        def listen(text: str) -> None:
            heard.append(text)
            on_text(text)

        answer = self.agent.answer(
            turn,
            self.source,
            log=self.log(turn),
            where=where,
            asked=not self.remembered,
            on_text=listen,
            confirm=confirm,
        )
        if heard and not answer.text and answer.state == "partial":
            # Ctrl-C came between two calls of the engine, or just before the answer was stored.
            # Keep the text, without citations.
            self.memory.answers.finish(answer.id, AnswerRecord("".join(heard), "partial"))
            return load_answer(self.memory, answer.id)
        return answer

    def undo(self) -> str:
        """Withdraw the newest turn and its answer; returns the turn's text, which stays stored."""
        turn, answers = self.last_exchange()
        self.memory.withdraw([turn, *answers])
        return turn.text

    def forget_last(self) -> int:
        """Overwrite the newest turn and its answer; returns the number of characters."""
        turn, answers = self.last_exchange()
        end = answers[-1].end if answers else turn.end
        with self.memory.store.write():
            self.memory.withdraw([turn, *answers])
            return self.memory.forget_range(self.source.id, turn.start, end)

    def last_answer(self) -> Answer | None:
        """The newest answer that was not withdrawn, None if there is none."""
        answer_id = self.memory.answers.last(self.source.id)
        return None if answer_id is None else load_answer(self.memory, answer_id)

    def last_exchange(self) -> tuple[Span, list[Span]]:
        """The newest turn that was not withdrawn, and the spans after it; else NotFoundError."""
        spans = self.memory.spans.of(self.source.id, last=64, withdrawn=False)
        for position in range(len(spans) - 1, -1, -1):
            if spans[position].role == "user":
                return spans[position], spans[position + 1 :]
        raise NotFoundError("this session has no turn yet")

    def log(self, turn: Span) -> Log:
        """The log that the prompt of a turn begins with.

        It is the log after the last answer. A new log is begun if the turn, its recalled text and
        its answer might not fit after that one.
        """
        engine, settings = self.agent.engine, self.agent.settings
        # An extractive engine does not read the conversation; one with attention has read it.
        if (
            not self.remembered
            or engine.capabilities.attention
            or not engine.capabilities.generates
        ):
            return Log()
        log = read_log(self.memory, self.source, turn, self._recent(turn))
        wanted = min(settings.budget, engine.context // 2) + settings.max_tokens
        if log.exchanges and log.tokens + wanted + engine.count(turn.text) > engine.context:
            return log.restarted()
        return log

    def _recent(self, before: Span) -> tuple[Span, ...]:
        """The newest turns before one, as many as fit in a share of the engine's window."""
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
