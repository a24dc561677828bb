"""Marks recalled statements of conversations that were superseded later; nothing is dropped.

Intervals are computed from the text at each recall, so that forgotten or withdrawn text leaves no
trace in them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from memagent.memory.events import Filter
from memagent.memory.recall.language.speakers import speaker
from memagent.memory.recall.language.validity import Statement, statements, superseders
from memagent.memory.recall.lexical import Lexical
from memagent.memory.recall.selection import OVERHEAD, Hit, Recalled
from memagent.memory.store.events import Events
from memagent.types import Event, Interval

__all__ = ["supersede"]

_MOST = 0.8  # of an event; the rest is its speaker, a greeting, punctuation
# Speaker, subject and frame: statements that share them can supersede one another.
_Topic: TypeAlias = tuple[str | None, str, str]


@dataclass(frozen=True, slots=True)
class _Stated:
    event: Event
    topic: _Topic
    statement: Statement  # its offsets are those of the source

    @property
    def order(self) -> tuple[str, int, int]:
        return self.event.time, self.event.source_id, self.statement.start


def supersede(
    recalled: Recalled,
    events: Events,
    lexical: Lexical,
    where: Filter,
    count: Callable[[str], int],
    skip: Callable[[Event], bool],
) -> Recalled:
    """Add the intervals of recalled statements and the statements that are in force now.

    The latter are added as far as the budget allows. Superseding statements are looked up in the
    whole namespace, up to `where.as_of`.
    """
    turns = [hit.event for hit in recalled.chosen if _by_user(hit.event)]
    stating = [event for event in turns if any(_stated(event, event.text))]
    if not stating:
        return recalled
    known = Filter(as_of=where.as_of)
    ids = [event.id for event in stating]
    topics = {s.topic: s.statement for s in _all_stated(events.with_openings(ids, known))}
    said = _of_topics(topics, events, lexical, known)
    intervals, by = _intervals(said)
    marked = [_marked(hit, intervals) for hit in recalled.chosen]
    have = {hit.event.id for hit in marked}
    spent = recalled.spent
    left = {hit.event.id: hit for hit in recalled.left_out}
    for hit in tuple(marked):
        for interval in hit.event.intervals:
            if interval.by is None or interval.by[0] in have:
                continue
            newer = by[interval.by[0]]
            tokens = count(newer.text) + OVERHEAD
            passes = not where or events.with_openings([newer.id], where)
            if spent + tokens <= recalled.budget and passes and not skip(newer):
                new = left.pop(newer.id, Hit(newer, hit.score, {}, tokens, "supersession"))
                marked.append(_marked(new, intervals))
                have.add(newer.id)
                spent += tokens
    marked.sort(key=lambda hit: (hit.event.time, hit.event.source_id, hit.event.start))
    return replace(recalled, chosen=tuple(marked), spent=spent, left_out=tuple(left.values()))


def _by_user(event: Event) -> bool:
    return event.kind == "session" and event.role == "user"


def _stated(event: Event, opening: str) -> Iterator[_Stated]:
    """The statements of an event; `opening` is the start of its span."""
    who = speaker(opening)
    prefix = len(who) + 2 if who and event.text.startswith(f"{who}: ") else 0
    for found in statements(event.text[prefix:]):
        offset = event.start + prefix
        placed = replace(found, start=found.start + offset, end=found.end + offset)
        yield _Stated(event, (who, found.subject, found.frame), placed)


def _all_stated(found: Iterable[tuple[Event, str]]) -> Iterator[_Stated]:
    for event, opening in found:
        if _by_user(event):
            yield from _stated(event, opening)


def _of_topics(
    topics: dict[_Topic, Statement], events: Events, lexical: Lexical, known: Filter
) -> dict[_Topic, list[_Stated]]:
    """Every statement about the topics, oldest first."""
    ids = {i for statement in topics.values() for i in lexical.holding(*statement.words)}
    said = defaultdict[_Topic, list[_Stated]](list)
    for each in _all_stated(events.with_openings(sorted(ids), known)):
        if each.topic in topics:
            said[each.topic].append(each)
    return {topic: sorted(of, key=lambda each: each.order) for topic, of in said.items()}


def _intervals(
    said: dict[_Topic, list[_Stated]],
) -> tuple[dict[int, list[Interval]], dict[int, Event]]:
    """The intervals of the statements, and the events now in force, both by event id."""
    found = defaultdict[int, dict[tuple[int, int], Interval]](dict)
    instead: dict[int, Event] = {}
    for of in said.values():
        news = superseders([each.statement for each in of])
        for place, old in enumerate(of):
            at = (old.statement.start, old.statement.end)
            new = news[place]
            if new is not None:
                now = of[_last(new, news)]
                instead[now.event.id] = now.event
                by = (now.event.id, now.statement.start, now.statement.end)
                found[old.event.id][at] = Interval(*at, old.event.time, of[new].event.time, by)
            elif place in news:
                # It may be about two topics, of which one is superseded.
                found[old.event.id].setdefault(at, Interval(*at, old.event.time))
    return {key: list(of.values()) for key, of in found.items()}, instead


def _last(place: int, news: list[int | None]) -> int:
    """The statement in force at the end of a chain of superseding ones."""
    while (after := news[place]) is not None:
        place = after
    return place


def _marked(hit: Hit, intervals: dict[int, list[Interval]]) -> Hit:
    """The hit with the intervals of its statements, and a note if one was superseded."""
    mine = tuple(intervals.get(hit.event.id, ()))
    over = [each for each in mine if each.until]
    note = hit.note
    if over:
        whole = sum(each.end - each.start for each in over) >= _MOST * len(hit.event.text)
        note = f"{'' if whole else 'in part '}superseded on {str(over[0].until)[:10]}"
    return replace(hit, event=replace(hit.event, intervals=mine), note=note) if mine else hit
