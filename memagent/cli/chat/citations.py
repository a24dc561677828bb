"""/sources and /open: the stored text that the newest answer rests on."""

from __future__ import annotations

from dataclasses import dataclass

from memagent.cli.chat.conversation import Conversation
from memagent.cli.render.output import place_label
from memagent.errors import NotFoundError, UsageError
from memagent.types import Span

__all__ = ["Place", "number_of", "open_place", "places", "sources"]

# Set around the quote in the text around it.
_MARKS = ("\u27e6", "\u27e7")


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of stored text behind the citation `number`; `label` says where it stands."""

    number: int
    source: str
    source_id: int
    start: int
    end: int
    text: str
    label: str


def places(chat: Conversation, number: int | None = None) -> list[Place]:
    """The verified places behind a citation, or behind all of them; NotFoundError without one."""
    answer = chat.the_answer()
    rows = chat.memory.answers.citations(answer.id)
    if not rows:
        raise NotFoundError("the last answer rests on no stored text")
    found = [
        Place(
            row["number"],
            row["source"],
            row["source_id"],
            row["start"],
            row["end"],
            chat.memory.spans.text(row["source_id"], row["start"], row["end"]),
            place_label(row["source"], row["page"], row["section"], row["start"], row["end"]),
        )
        for row in rows
        if row["verified"] and number in (None, row["number"])
    ]
    if not found and number is not None:
        numbers = sorted({row["number"] for row in rows if row["verified"]})
        there = ", ".join(f"[{n}]" for n in numbers) or "none that is verified"
        raise NotFoundError(f"no stored text stands behind [{number}]: the last answer has {there}")
    return found


def number_of(argument: str, example: str) -> int:
    """The argument as a citation's number; UsageError with the example if it is none."""
    digits = argument.removeprefix("[").removesuffix("]")
    if not digits.isascii() or not digits.isdigit():
        raise UsageError(f"say the number of a citation: {example}")
    return int(digits)


def sources(chat: Conversation, argument: str) -> None:
    """Every citation with its place and its exact text."""
    parts = [f"[{place.number}] {place.label}\n{place.text}" for place in places(chat)]
    parts += [
        f"[{cited.number or '?'}] unverified, not in the stored text: {cited.text}"
        for cited in chat.the_answer().citations
        if not cited.verified
    ]
    chat.screen.note("\n\n".join(parts))


def open_place(chat: Conversation, argument: str) -> None:
    """All of the stored span around a citation, the quotes in it marked."""
    by_span: dict[int, tuple[Span, list[Place]]] = {}
    for place in places(chat, number_of(argument, "/open 1")):
        span = chat.memory.spans.at(place.source_id, place.start)
        by_span.setdefault(span.id, (span, []))[1].append(place)
    parts = []
    for span, cited in by_span.values():
        source = cited[0].source
        where = place_label(source, span.page, span.section, span.start, span.end)
        parts.append(f"{where}\n{_marked(span, cited)}")
    chat.screen.note("\n\n".join(parts))


def _marked(span: Span, cited: list[Place]) -> str:
    text = span.text
    for place in sorted(cited, key=lambda place: -place.start):
        start, end = place.start - span.start, min(place.end, span.end) - span.start
        text = text[:start] + _MARKS[0] + text[start:end] + _MARKS[1] + text[end:]
    return text
