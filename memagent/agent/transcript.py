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
    record = memory.answers.reports([newest.id], "log").get(newest.id) if newest else None
    if record is None:
        return Log(carried=tuple(recent), recent=tuple(recent))
    behind = before.ordinal - record["begun"] + record["carried"]
    spans = [
        span
        for span in memory.spans.of(session.id, last=behind + 1, withdrawn=False)
        if span.ordinal < before.ordinal
    ]
    older = [span for span in spans if span.ordinal < record["begun"]]
    exchanges = tuple(_exchanges(memory, [s for s in spans if s.ordinal >= record["begun"]]))
    carried = tuple(older[len(older) - record["carried"] :]) if record["carried"] else ()
    return Log(carried, exchanges, tuple(recent), record["tokens"])


def _numbered(exchange: Exchange) -> Iterator[Event]:
    yield from (shown.event for shown in exchange.shown)
    yield from exchange.looked_up


def _last_turn(memory: Namespace, session: Source, before: Span) -> Span | None:
    spans = memory.spans.of(session.id, last=64, withdrawn=False)
    earlier = (s for s in reversed(spans) if s.ordinal < before.ordinal and s.role == "user")
    return next(earlier, None)


def _exchanges(memory: Namespace, spans: Sequence[Span]) -> Iterator[Exchange]:
    starts = [place for place, span in enumerate(spans) if span.role == "user"]
    records = memory.answers.reports([spans[place].id for place in starts], "log")
    of_turns = [records.get(spans[place].id) for place in starts]
    places = [
        place[:3]
        for record in of_turns
        if record is not None
        for place in (*record["shown"], *record["looked_up"])
    ]
    events = enumerate(events_at(memory.store, memory.sources.namespace_id, places), start=1)
    for place, following, record in zip(starts, [*starts[1:], len(spans)], of_turns, strict=True):
        turn, replies = spans[place], tuple(spans[place + 1 : following])
        if record is None:
            yield Exchange(turn, replies)
            continue
        yield Exchange(
            turn,
            replies,
            tuple(Shown(*next(events), note) for *_, note in record["shown"]),
            tuple(record["again"]),
            tuple(next(events)[1] for _ in record["looked_up"]),
            _lines(memory, turn, "memory", record["memory"]),
            _lines(memory, turn, "plan", record["plan"]),
        )


def _lines(
    memory: Namespace, turn: Span, kind: Literal["memory", "plan"], version: int | None
) -> Lines | None:
    if version is None:
        return None
    return Lines(tuple(Working(memory.store, turn.source_id, kind).lines(version)), version)
