"""Packing the prompt to the engine's own token count.

The order keeps the prefix stable, so that a server's prefix cache serves it: instructions, the log
of the conversation as it was sent before, then what the turn adds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from memagent.agent.transcript import Lines, Log, Shown
from memagent.engines.base import Engine
from memagent.errors import EngineError
from memagent.memory.recall.selection import Hit
from memagent.memory.store.locators import place_of
from memagent.prompts.load import render
from memagent.types import Message, Span

__all__ = ["Packed", "pack"]

_MARKERS = re.compile(r"\s*\[\d{1,4}(?:\s*,\s*\d{1,4})*\]")


@dataclass(frozen=True, slots=True)
class Packed:
    """A prompt that fits, its parts, and its number of tokens.

    `hits` are the numbered events in order: first those that the `log` already shows, then `new`,
    which this turn adds. `recalled_again` are the numbers of earlier events that this turn
    recalled too. `memory` and `plan` are the versions shown, or None if they have not changed.
    """

    messages: tuple[Message, ...]
    hits: tuple[Hit, ...]
    log: Log
    new: tuple[Shown, ...]
    recalled_again: tuple[int, ...]
    memory: int | None
    plan: int | None
    tokens: int

    @property
    def recalled(self) -> tuple[tuple[int, Hit], ...]:
        """The recalled events that are in the prompt, with their numbers."""
        numbers = sorted([*self.recalled_again, *(shown.number for shown in self.new)])
        return tuple((number, self.hits[number - 1]) for number in numbers)


def pack(
    engine: Engine,
    question: str,
    hits: Sequence[Hit] | None,
    log: Log | None = None,
    *,
    working: Lines | None = None,
    plan: Lines | None = None,
    max_tokens: int,
) -> Packed:
    """Build the prompt of one turn; it leaves `max_tokens` of the context for the answer.

    If `hits` is None, the turn has no memory block. If the prompt is too long, it loses first the
    log except the newest turns, then the oldest of these, then the events with the lowest scores.
    Raises EngineError if even the turn alone does not fit.
    """
    room = engine.context - max_tokens

    def build(log: Log, hits: Sequence[Hit] | None) -> Packed:
        return _build(engine, question, hits, log, working or Lines(), plan or Lines())

    log = log or Log()
    packed = build(log, hits)
    if packed.tokens > room and log.exchanges:
        log = log.restarted()
        packed = build(log, hits)
    while packed.tokens > room and log.carried_over:
        sizes = [engine.count(span.text) for span in log.carried_over]
        log = replace(log, carried_over=log.carried_over[_enough(packed.tokens - room, sizes) :])
        packed = build(log, hits)
    while packed.tokens > room and hits:
        over, freed = packed.tokens - room, 0
        while hits and freed < over:
            worst = min(hits, key=lambda hit: hit.score)
            hits = [hit for hit in hits if hit is not worst]
            freed += worst.tokens
        packed = build(log, hits)
    if packed.tokens > room:
        raise EngineError(
            f"the turn takes {packed.tokens} tokens and {engine.model} has room for {room} "
            f"({engine.context} less {max_tokens} for the answer): shorten it, lower --max-tokens, "
            "or serve the model with a larger context"
        )
    return packed


def _build(
    engine: Engine,
    question: str,
    hits: Sequence[Hit] | None,
    log: Log,
    working: Lines,
    plan: Lines,
) -> Packed:
    numbered = [Hit(event, 0.0, {}, 0) for event in log.events]
    known = {place_of(hit.event): place for place, hit in enumerate(numbered)}
    again: list[int] = []
    new: list[Shown] = []
    for hit in hits or ():
        place = known.get(place_of(hit.event))
        if place is None:
            numbered.append(hit)
            new.append(Shown(len(numbered), hit.event, hit.note))
        else:
            numbered[place] = hit
            again.append(place + 1)
    shows_memory, shows_plan = (
        working.version != log.memory.version,
        plan.version != log.plan.version,
    )
    turn = _turn(
        question,
        new if hits is not None else None,
        tuple(sorted(again)),
        working if shows_memory else None,
        plan if shows_plan else None,
    )
    messages = (Message("system", render("system.md")), *_log_messages(log), turn)
    return Packed(
        messages,
        tuple(numbered),
        log,
        tuple(new),
        tuple(sorted(again)),
        working.version if shows_memory else None,
        plan.version if shows_plan else None,
        engine.count_prompt(messages),
    )


def _log_messages(log: Log) -> Iterator[Message]:
    """The log as it was sent before, character for character."""
    for span in log.carried_over:
        # These words cite events by their numbers in an older log, so drop the markers.
        yield _words(replace(span, text=_MARKERS.sub("", span.text)))
    for each in log.exchanges:
        yield _turn(each.turn.text, each.shown, each.recalled_again, each.memory, each.plan)
        yield from map(_words, each.replies)


def _words(span: Span) -> Message:
    return Message("assistant" if span.role == "assistant" else "user", span.text)


def _turn(
    question: str,
    shown: Sequence[Shown] | None,
    again: Sequence[int],
    working: Lines | None,
    plan: Lines | None,
) -> Message:
    memory = render(
        "memory.md.j2",
        working=working.lines if working else None,
        plan=plan.lines if plan else None,
        shown=shown,
        again=again,
    )
    return Message("user", render("turn.md.j2", memory=memory, question=question))


def _enough(over: int, sizes: Sequence[int]) -> int:
    """How many of the first items to drop to free `over` tokens; at least one."""
    freed = 0
    for position, size in enumerate(sizes, start=1):
        freed += size
        if freed >= over:
            return position
    return len(sizes)
