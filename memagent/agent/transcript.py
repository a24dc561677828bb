"""The prompt of a conversation as a log, so that a server's prefix cache serves it.

A server caches what it computed for a prompt and reuses it for prompts with the same prefix. So
each turn only appends: its words, the events that the log does not show yet, and working memory if
it changed. Earlier text is never altered. If the next turn might not fit, the log restarts with the
words of the newest turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from memagent.memory.namespace import Namespace
from memagent.memory.store.locators import events_at
from memagent.memory.store.working import Working
from memagent.types import Event, Source, Span

__all__ = ["Exchange", "Lines", "Log", "Shown", "read_log"]


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of the working memory or the plan, and their version."""

    lines: tuple[str, ...] = ()
    version: int = 0


@dataclass(frozen=True, slots=True)
class Shown:
    """An event as a prompt shows it: with its number and a note."""

    number: int
    event: Event
    note: str = ""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A turn and its replies, as later prompts show them.

    `shown` are the events placed before the turn's words; `recalled_again` are the numbers of
    earlier events that this turn recalled too. `looked_up` were found by tools: they have numbers
    and are not repeated. `memory` and `plan` are None if they were not shown.
    """

    turn: Span
    replies: tuple[Span, ...]
    shown: tuple[Shown, ...] = ()
    recalled_again: tuple[int, ...] = ()
    looked_up: tuple[Event, ...] = ()
    memory: Lines | None = None
    plan: Lines | None = None


@dataclass(frozen=True, slots=True)
class Log:
    """The start of the next prompt: the text of the `carried_over` turns, then the `exchanges`.

    A restarted log would begin with the text of the `recent` turns. `tokens` is the size of the
    newest prompt with its answer.
    """

    carried_over: tuple[Span, ...] = ()
    exchanges: tuple[Exchange, ...] = ()
    recent: tuple[Span, ...] = ()
    tokens: int = 0

    @property
    def events(self) -> tuple[Event, ...]:
        """The events in the log, in the order of their numbers, from 1."""
        return tuple(event for each in self.exchanges for event in _numbered(each))

    @property
    def turns(self) -> int:
        """The number of turns and answers in the log."""
        return len(self.carried_over) + sum(1 + len(each.replies) for each in self.exchanges)

    @property
    def start(self) -> int | None:
        """The character of the session at which the log begins; None if it is empty."""
        if self.carried_over:
            return self.carried_over[0].start
        return self.exchanges[0].turn.start if self.exchanges else None

    @property
    def memory(self) -> Lines:
        """The working memory that was shown last."""
        return next((e.memory for e in reversed(self.exchanges) if e.memory), Lines())

    @property
    def plan(self) -> Lines:
        """The plan that was shown last."""
        return next((e.plan for e in reversed(self.exchanges) if e.plan), Lines())

    def restarted(self) -> Log:
        """A new log that starts with the words of the newest turns."""
        return Log(carried_over=self.recent, recent=self.recent)


def read_log(memory: Namespace, session: Source, before: Span, recent: Sequence[Span]) -> Log:
    """The log after the newest answer before a turn; a new log if there is none."""
    newest = _last_turn(memory, session, before)
    state = memory.answers.prompt_states([newest.id]).get(newest.id) if newest else None
    if state is None:
        return Log(carried_over=tuple(recent), recent=tuple(recent))
    needed = before.ordinal - state.begun + state.carried
    spans = [
        span
        for span in memory.spans.of(session.id, last=needed + 1, withdrawn=False)
        if span.ordinal < before.ordinal
    ]
    older = [span for span in spans if span.ordinal < state.begun]
    exchanges = tuple(_exchanges(memory, [s for s in spans if s.ordinal >= state.begun]))
    carried = tuple(older[len(older) - state.carried :]) if state.carried else ()
    return Log(carried, exchanges, tuple(recent), state.tokens)


def _numbered(exchange: Exchange) -> Iterator[Event]:
    yield from (shown.event for shown in exchange.shown)
    yield from exchange.looked_up


def _last_turn(memory: Namespace, session: Source, before: Span) -> Span | None:
    spans = memory.spans.of(session.id, last=64, withdrawn=False)
    earlier = (s for s in reversed(spans) if s.ordinal < before.ordinal and s.role == "user")
    return next(earlier, None)


def _exchanges(memory: Namespace, spans: Sequence[Span]) -> Iterator[Exchange]:
    starts = [place for place, span in enumerate(spans) if span.role == "user"]
    states = memory.answers.prompt_states([spans[start].id for start in starts])
    of_turns = [states.get(spans[start].id) for start in starts]
    places = [event.place for state in of_turns if state is not None for event in state.events]
    events = enumerate(events_at(memory.store, memory.sources.namespace_id, places), start=1)
    for start, end, state in zip(starts, [*starts[1:], len(spans)], of_turns, strict=True):
        turn, replies = spans[start], tuple(spans[start + 1 : end])
        if state is None:
            yield Exchange(turn, replies)
            continue
        # In the store as in the prompt, recalled events come before those that tools found.
        added = [(each.origin, Shown(*next(events), each.note)) for each in state.events]
        yield Exchange(
            turn,
            replies,
            tuple(shown for origin, shown in added if origin == "recall"),
            state.recalled_again,
            tuple(shown.event for origin, shown in added if origin == "tool"),
            _lines(memory, turn, "memory", state.memory),
            _lines(memory, turn, "plan", state.plan),
        )


def _lines(
    memory: Namespace, turn: Span, kind: Literal["memory", "plan"], version: int | None
) -> Lines | None:
    if version is None:
        return None
    return Lines(tuple(Working(memory.store, turn.source_id, kind).lines(version)), version)
