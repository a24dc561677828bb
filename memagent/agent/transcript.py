"""The prompt of a conversation as a log, so that a server's prefix cache serves it.

A server keeps what it computed for a prompt, and does not do it again for a prompt that begins the
same way. So each turn only appends: its words, the events that the log does not show yet, working
memory where it changed. Nothing before them is altered. Where the next turn might not fit, the log
is begun anew with the words of the newest turns. Knows nothing of engines and of recall.
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
    """Working memory or plan: the lines, and the version that they are of."""

    lines: tuple[str, ...] = ()
    version: int = 0


@dataclass(frozen=True, slots=True)
class Shown:
    """An event as it stands in a prompt: its number, and what is to be known of it."""

    number: int
    event: Event
    note: str = ""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A turn and what followed it, as they stand in the prompts after it.

    `shown` are the events before the turn's words, and `again` the numbers of
    earlier ones that were recalled for it as well. `looked_up` were found by tools: they have
    numbers and are not repeated. `memory` and `plan` are None where they were not shown.
    """

    turn: Span
    replies: tuple[Span, ...]
    shown: tuple[Shown, ...] = ()
    again: tuple[int, ...] = ()
    looked_up: tuple[Event, ...] = ()
    memory: Lines | None = None
    plan: Lines | None = None


@dataclass(frozen=True, slots=True)
class Log:
    """What the next prompt begins with: words alone of `carried` turns, then the `exchanges`.

    `recent` are the turns whose words a new log would carry, and `tokens` what the newest prompt
    and its answer took.
    """

    carried: tuple[Span, ...] = ()
    exchanges: tuple[Exchange, ...] = ()
    recent: tuple[Span, ...] = ()
    tokens: int = 0

    @property
    def events(self) -> tuple[Event, ...]:
        """The events with a number: the first is cited as [1]."""
        return tuple(event for each in self.exchanges for event in _numbered(each))

    @property
    def turns(self) -> int:
        """Turns and answers in the log."""
        return len(self.carried) + sum(1 + len(each.replies) for each in self.exchanges)

    @property
    def start(self) -> int | None:
        """Where the conversation begins that stands in the log, in characters of its session."""
        if self.carried:
            return self.carried[0].start
        return self.exchanges[0].turn.start if self.exchanges else None

    @property
    def memory(self) -> Lines:
        """Working memory as it was shown last."""
        return next((e.memory for e in reversed(self.exchanges) if e.memory), Lines())

    @property
    def plan(self) -> Lines:
        """The plan as it was shown last."""
        return next((e.plan for e in reversed(self.exchanges) if e.plan), Lines())

    def anew(self) -> Log:
        """The log begun anew."""
        return Log(carried=self.recent, recent=self.recent)


def read_log(memory: Namespace, session: Source, before: Span, recent: Sequence[Span]) -> Log:
    """The log as the newest answer before a turn left it; empty where none left one."""
    newest = _last_turn(memory, session, before)
    state = memory.answers.prompt_states([newest.id]).get(newest.id) if newest else None
    if state is None:
        return Log(carried=tuple(recent), recent=tuple(recent))
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
        # The events of a turn by recall come before those by tools, in the store as in the prompt.
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
