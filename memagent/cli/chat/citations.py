"""/sources and /open: the stored text that the newest answer cites."""

from __future__ import annotations

from dataclasses import dataclass

from memagent.cli.chat.conversation import Conversation
from memagent.cli.render.output import place_label
from memagent.errors import NotFoundError, UsageError
from memagent.types import Span

__all__ = ["Passage", "citation_number", "open_passage", "passages", "sources"]

# Mark a quote within its context.
_MARKS = ("\u27e6", "\u27e7")


@dataclass(frozen=True, slots=True)
class Passage:
    """The stored text of citation `number`, characters `start` to `end` of its source."""

    number: int
    source: str
    source_id: int
    start: int
    end: int
    text: str
    label: str


def passages(chat: Conversation, number: int | None = None) -> list[Passage]:
    """The verified passages of a citation, or of all; NotFoundError if there are none."""
    answer = chat.newest_answer()
    rows = chat.memory.answers.citations(answer.id)
    if not rows:
        raise NotFoundError("the last answer cites no stored text")
    found = [
        Passage(
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
        available = ", ".join(f"[{n}]" for n in numbers) or "none"
        raise NotFoundError(f"no verified citation [{number}]: the last answer has {available}")
    return found


def citation_number(argument: str, example: str) -> int:
    """The number of a citation; UsageError with the example if `argument` is not a number."""
    digits = argument.removeprefix("[").removesuffix("]")
    if not digits.isascii() or not digits.isdigit():
        raise UsageError(f"give the number of a citation: {example}")
    return int(digits)


def sources(chat: Conversation, argument: str) -> None:
    """Show every citation with its source and exact text."""
    parts = [f"[{passage.number}] {passage.label}\n{passage.text}" for passage in passages(chat)]
    parts += [
        f"[{cited.number or '?'}] unverified, not in the stored text: {cited.text}"
        for cited in chat.newest_answer().citations
        if not cited.verified
    ]
    chat.screen.note("\n\n".join(parts))


def open_passage(chat: Conversation, argument: str) -> None:
    """Show the stored span around a citation, with the quotes marked."""
    by_span: dict[int, tuple[Span, list[Passage]]] = {}
    for passage in passages(chat, citation_number(argument, "/open 1")):
        span = chat.memory.spans.at(passage.source_id, passage.start)
        by_span.setdefault(span.id, (span, []))[1].append(passage)
    parts = []
    for span, cited in by_span.values():
        source = cited[0].source
        where = place_label(source, span.page, span.section, span.start, span.end)
        parts.append(f"{where}\n{_marked(span, cited)}")
    chat.screen.note("\n\n".join(parts))


def _marked(span: Span, cited: list[Passage]) -> str:
    text = span.text
    for passage in sorted(cited, key=lambda passage: -passage.start):
        start, end = passage.start - span.start, min(passage.end, span.end) - span.start
        text = text[:start] + _MARKS[0] + text[start:end] + _MARKS[1] + text[end:]
    return text
