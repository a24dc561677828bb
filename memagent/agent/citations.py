"""Check that the quotes in an answer occur in the events it was given.

This works for any text with markers like [2] and quotes in quotation marks, from any engine.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from memagent.memory.store.answers import CitationRow
from memagent.types import Event

__all__ = ["MARKER", "attention_citations", "check", "locate", "with_validity"]

MARKER = re.compile(r"\[(\d{1,4}(?:\s*,\s*\d{1,4})*)\]")
_OPENERS = '"“«„'
_QUOTE = re.compile(r'"([^"\n]+)"|“([^”\n]+)”|«([^»\n]+)»')
_CLOSER = re.compile(r'["”»“][\s.,;:!?)]*\Z')
_LEAST_WORDS = 4
# Events with less attention than this fraction of the highest are not cited.
_LEAST_SHARE = 0.25
_MOST_ATTENDED = 5


def check(text: str, events: Sequence[Event], question: str = "") -> list[CitationRow]:
    """The citations in `text`; the marker [n] refers to `events[n - 1]`.

    A quote before a marker is searched for in the marked event, then in the others; if found, its
    exact place is cited. A marker without a quote cites the whole event. A quote that is not found
    and a marker without an event are unverified. Quotes of four words or more are checked even
    without a marker, unless they repeat the question.
    """
    rows: list[CitationRow] = []
    end = 0
    for marker in MARKER.finditer(text):
        before = text[end : marker.start()]
        for number in (int(part) for part in marker[1].split(",")):
            rows.append(_marked(number, marker[0], before, events))
        end = marker.end()
    cited = {row.claim or _slice(row, events) for row in rows}
    for match in _QUOTE.finditer(text):
        quote = next(group for group in match.groups() if group)
        if len(quote.split()) < _LEAST_WORDS or _known(quote, cited) or locate(quote, question):
            continue
        rows.append(_anywhere(quote, events) or CitationRow(0, False, claim=quote))
    return list(dict.fromkeys(rows))


def attention_citations(
    attention: Sequence[tuple[Event, float]], events: Sequence[Event], known: Sequence[CitationRow]
) -> list[CitationRow]:
    """Citations of the events with the most attention, except those in `known`.

    `attention` is sorted, largest first. Events in `events` keep their numbers; the others get the
    numbers after them.
    """
    number = {event.id: place for place, event in enumerate(events, start=1)}
    cited = {(row.source_id, row.number) for row in known if row.verified}
    rows = []
    for event, share in attention[:_MOST_ATTENDED]:
        if share < _LEAST_SHARE * attention[0][1]:
            break
        place = number.setdefault(event.id, len(number) + 1)
        if (event.source_id, place) not in cited:
            rows.append(replace(_row(place, event, (0, len(event.text))), share=round(share, 4)))
    return rows


def with_validity(rows: Sequence[CitationRow], events: Sequence[Event]) -> list[CitationRow]:
    """The citations with the validity of the statements that they cite."""
    dated = [event for event in events if event.intervals and event.kind == "session"]
    return [_with_validity(row, dated) for row in rows]


def locate(quote: str, text: str) -> tuple[int, int] | None:
    """The (start, end) of `quote` in `text`, or None; white space may differ."""
    words = quote.split()
    if not words:
        return None
    match = re.search(r"\s+".join(map(re.escape, words)), text)
    return match.span() if match else None


def _with_validity(row: CitationRow, events: Sequence[Event]) -> CitationRow:
    if row.start is None or row.end is None:
        return row
    # Take the statement that overlaps the citation most, if it covers more than half of it.
    most, found = (row.end - row.start) / 2, None
    for event in events:
        for valid in event.intervals if event.source_id == row.source_id else ():
            shared = min(row.end, valid.end) - max(row.start, valid.start)
            if shared > most:
                most, found = shared, valid
    if found is None:
        return row
    return replace(row, valid_from=found.since, valid_until=found.until)


def _marked(number: int, marker: str, before: str, events: Sequence[Event]) -> CitationRow:
    if not 1 <= number <= len(events):
        return CitationRow(number, False, claim=marker)
    quotes = _quotes_at_end(before)
    for quote in quotes:
        if (place := locate(quote, events[number - 1].text)) is not None:
            return _row(number, events[number - 1], place)
    for quote in quotes:
        if len(quote.split()) >= _LEAST_WORDS and (row := _anywhere(quote, events)):
            return row
    if quotes:
        return CitationRow(number, False, claim=quotes[-1])
    event = events[number - 1]
    return _row(number, event, (0, len(event.text)))


def _quotes_at_end(before: str) -> list[str]:
    """The possible quotes right before a marker, longest first: quotes may nest."""
    closer = _CLOSER.search(before)
    if closer is None:
        return []
    inner = before[: closer.start()]
    starts = [i + 1 for i, character in enumerate(inner) if character in _OPENERS]
    return [inner[start:] for start in starts if inner[start:].strip()]


def _anywhere(quote: str, events: Sequence[Event]) -> CitationRow | None:
    for number, event in enumerate(events, start=1):
        if (place := locate(quote, event.text)) is not None:
            return _row(number, event, place)
    return None


def _row(number: int, event: Event, place: tuple[int, int]) -> CitationRow:
    start, end = place
    return CitationRow(number, True, event.source_id, event.start + start, event.start + end)


def _slice(row: CitationRow, events: Sequence[Event]) -> str:
    assert row.start is not None and row.end is not None
    event = events[row.number - 1]
    return event.text[row.start - event.start : row.end - event.start]


def _known(quote: str, cited: set[str]) -> bool:
    return any(locate(quote, text) is not None for text in cited)
