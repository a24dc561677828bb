"""Filter: which events a search may return, by time and by source."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from memagent.errors import UsageError

__all__ = ["Filter", "end_of", "moment"]

_AGO = re.compile(r"(\d{1,5})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str | None) -> str | None:
    """A time in ISO 8601 UTC with microseconds.

    `text` is an ISO date or time (local time unless it names a zone), or an age such as 7d for
    seven days ago, with the units m, h, d and w. Raises UsageError for anything else.
    """
    if text is None:
        return None
    if match := _AGO.fullmatch(text):
        when = datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])})
    else:
        try:
            when = datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, OverflowError):
            raise UsageError(
                f"{text!r} is no time: write 2026-11-21, 2026-11-21T09:30, or 7d for 7 days ago"
            ) from None
    return when.isoformat(timespec="microseconds")


def end_of(text: str | None) -> str | None:
    """Like `moment`, but a date without a time means the last microsecond of that day."""
    try:
        day = datetime.combine(date.fromisoformat(text or ""), time.max)
    except ValueError:
        return moment(text)
    return day.astimezone(UTC).isoformat(timespec="microseconds")


@dataclass(frozen=True, slots=True)
class Filter:
    """Limits recall to the time range [since, until) and to some sources.

    `as_of` asks for the memory as it was at a moment: only text stored up to then, and the
    versions of documents that were current then.

    Times are ISO dates or times, or ages such as "7d"; they are kept in ISO 8601 UTC. `sources`
    holds names or ids; `Namespace.resolve` replaces the names by ids. Raises UsageError for a text
    that is not a time.
    """

    since: str | None = None
    until: str | None = None
    sources: Sequence[int | str] = ()
    as_of: str | None = None

    def __post_init__(self) -> None:
        sources = (self.sources,) if isinstance(self.sources, str) else tuple(self.sources)
        object.__setattr__(self, "since", moment(self.since))
        object.__setattr__(self, "until", moment(self.until))
        object.__setattr__(self, "sources", sources)
        object.__setattr__(self, "as_of", end_of(self.as_of))

    def __bool__(self) -> bool:
        return bool(self.since or self.until or self.sources or self.as_of)

    def within(self, times: tuple[str, str]) -> Filter:
        """This filter, further limited to a time range [since, until) in ISO 8601 UTC."""
        since, until = times
        later = max(self.since or since, since)
        return replace(self, since=later, until=min(self.until or until, until))

    def sql(self) -> tuple[str, list[Any]]:
        """SQL conditions on spans `s` and events `e`, starting with AND, and their parameters.

        `sources` must hold ids only.
        """
        parts: list[str] = []
        values: list[Any] = []
        if self.since:
            parts.append("AND s.time >= ?")
            values.append(self.since)
        if self.until:
            parts.append("AND s.time < ?")
            values.append(self.until)
        if self.sources:
            if not all(isinstance(source, int) for source in self.sources):
                raise TypeError("a filter with names needs Namespace.resolve")
            parts.append(f"AND e.source_id IN ({', '.join('?' * len(self.sources))})")
            values.extend(self.sources)
        if self.as_of:
            parts.append("AND s.time <= ?")
            parts.append("AND e.source_id NOT IN (SELECT id FROM sources WHERE superseded <= ?)")
            values.extend([self.as_of, self.as_of])
        return " ".join(parts), values
