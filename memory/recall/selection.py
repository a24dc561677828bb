"""Chooses events under a token budget: the best hits first, then their neighbours.

The two buffers, similarity and contiguity, are those of "Human-like Episodic Memory for
Infinite Context LLMs" (EM-LLM), at the level of text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from memagent.memory.recall.near_duplicates import Repeats
from memagent.types import Event

__all__ = ["OVERHEAD", "Hit", "Recalled", "Via", "choose"]

Via = Literal["similarity", "contiguity", "supersession"]

# Tokens that the label of an event (number, source, place) takes in the prompt.
OVERHEAD = 12


@dataclass(frozen=True, slots=True)
class Hit:
    """A recalled event: its score, rank per channel (from 1) and tokens.

    `why` is what each signal contributes to the score, `note` is shown with the event.
    """

    event: Event
    score: float
    ranks: dict[str, int]
    tokens: int
    via: Via = "similarity"
    why: dict[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def text(self) -> str:
        """The stored text of the event."""
        return self.event.text

    @property
    def source(self) -> str:
        """The name of the document or session."""
        return self.event.source

    @property
    def place(self) -> str:
        """Source, page, section and time, for people."""
        return self.event.place


@dataclass(frozen=True, slots=True)
class Recalled:
    """The events for the prompt, in temporal order, and those that did not fit."""

    question: str
    budget: int
    spent: int
    chosen: tuple[Hit, ...]
    left_out: tuple[Hit, ...] = ()
    channels: dict[str, int] = field(default_factory=dict)

    @property
    def events(self) -> tuple[Event, ...]:
        """The chosen events; the first is cited as [1]."""
        return tuple(hit.event for hit in self.chosen)

    @property
    def best(self) -> tuple[Hit, ...]:
        """The chosen events, best first."""
        return tuple(sorted(self.chosen, key=lambda hit: -hit.score))

    def report(self) -> dict[str, Any]:
        """The recall as plain data, without the text: for --explain, /why and the store."""
        return {
            "budget": self.budget,
            "spent": self.spent,
            "channels": self.channels,
            "chosen": [_line(hit, number) for number, hit in enumerate(self.chosen, start=1)],
            "left_out": [_line(hit, None) for hit in self.left_out],
        }


def choose(
    question: str,
    hits: list[Hit],
    neighbours: Callable[[Event], Iterable[Event]],
    count: Callable[[str], int],
    *,
    budget: int,
    contiguity: float,
    channels: dict[str, int],
) -> Recalled:
    """Spend `budget` tokens on `hits` (best first) and on their neighbours.

    `contiguity` is the share of the budget kept for neighbours of what was found in documents,
    if there is any; what they do not use goes to further hits. Neighbours of turns are chosen
    only for their own score. A hit that does not fit is skipped, because a smaller one after it may
    fit; so is a hit that repeats a chosen one.
    """
    kept = contiguity if any(map(_in_document, hits)) else 0.0
    chosen: dict[int, Hit] = {}
    spent = 0
    seen = defaultdict[str, Repeats](Repeats)

    def take(hit: Hit, limit: float) -> None:
        nonlocal spent
        fits = hit.event.id not in chosen and spent + hit.tokens <= limit
        # A repetition on another day is another event; one in another document is not.
        when = hit.event.time[:10] if hit.event.kind == "session" else ""
        if fits and hit.event.text not in seen[when]:
            seen[when].add(hit.event.text)
            chosen[hit.event.id] = hit
            spent += hit.tokens

    for hit in hits:
        take(hit, budget * (1 - kept))
    for hit in list(filter(_in_document, chosen.values())) if kept else ():
        if spent + OVERHEAD >= budget:
            break
        for event in neighbours(hit.event):
            tokens = count(event.text) + OVERHEAD
            take(Hit(event, hit.score, {}, tokens, "contiguity"), budget)
    for hit in hits:
        take(hit, budget)
    # A neighbour that a channel found as well is shown with its ranks.
    found = {hit.event.id: hit for hit in hits}
    ordered = sorted(
        (found.get(event_id, hit) for event_id, hit in chosen.items()),
        key=lambda hit: (hit.event.time, hit.event.source_id, hit.event.start),
    )
    left_out = tuple(hit for hit in hits if hit.event.id not in chosen)
    return Recalled(question, budget, spent, tuple(ordered), left_out, channels)


def _in_document(hit: Hit) -> bool:
    return hit.event.kind == "document"


def _line(hit: Hit, number: int | None) -> dict[str, Any]:
    event = hit.event
    line: dict[str, Any] = {
        "number": number,
        "source": event.source,
        "source_id": event.source_id,
        "start": event.start,
        "end": event.end,
        "place": event.place,
        "via": hit.via,
        "ranks": hit.ranks,
        "score": round(hit.score, 6),
        "why": {name: round(part, 4) for name, part in hit.why.items() if round(part, 4)},
        "tokens": hit.tokens,
    }
    if event.intervals:
        line["valid"] = [each.report() for each in event.intervals]
    return line
