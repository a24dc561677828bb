"""What memory is made of: sources, their verbatim spans, and the events recalled from them.

Offsets are characters (Unicode code points) from the start of the source's text, end exclusive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Event", "Interval", "Kind", "Piece", "Role", "Source", "Span"]

Kind = Literal["document", "session"]
Role = Literal["user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a document as a reader delivers it; the pieces in order are its text."""

    text: str
    page: int | None = None
    section: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A document or a session; `chars` is the length of its text so far."""

    id: int
    namespace: str
    kind: Kind
    name: str
    uri: str | None
    sha256: str | None
    media_type: str | None
    chars: int
    complete: bool
    created: str
    updated: str


@dataclass(frozen=True, slots=True)
class Span:
    """A verbatim stretch of a source; the spans of a source tile its text without gaps."""

    id: int
    source_id: int
    ordinal: int
    start: int
    end: int
    text: str
    page: int | None
    section: str | None
    role: Role | None
    time: str
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Interval:
    """When a statement was valid: from `since` to before `until`, None while it is in force.

    It stands at [start, end) of its source. `by` is the id of the event in which the one stands
    that is in force instead, and where that is in its source.
    """

    start: int
    end: int
    since: str
    until: str | None = None
    by: tuple[int, int, int] | None = None

    def report(self) -> dict[str, Any]:
        """The interval as plain data."""
        return {"start": self.start, "end": self.end, "from": self.since, "until": self.until}


@dataclass(frozen=True, slots=True)
class Event:
    """The unit of recall: a stretch inside one span, with where it stands. Recall adds `intervals`
    to an event with a statement that superseded another one or was superseded."""

    id: int
    source_id: int
    source: str
    kind: Kind
    start: int
    end: int
    text: str
    page: int | None
    section: str | None
    role: Role | None
    time: str
    intervals: tuple[Interval, ...] = ()

    @property
    def place(self) -> str:
        """Where the event stands, for people: name, page, section, time."""
        parts = [self.source]
        if self.page is not None:
            parts.append(f"p. {self.page}")
        if self.section:
            parts.append(f"§ {self.section}")
        if self.kind == "session":
            parts.append(f"{self.role}, {self.time[:16].replace('T', ' ')}")
        return " · ".join(parts)
