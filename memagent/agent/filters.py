"""What may be recalled at all, from the command line: times and sources."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from memagent.errors import UsageError

if TYPE_CHECKING:
    from memagent.memory.namespace import Namespace
    from memagent.memory.store.events import Filter

__all__ = ["build_filter", "end_of", "moment"]

_AGO = re.compile(r"(\d{1,5})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str | None) -> str | None:
    """An ISO date or time (local unless it has a zone), or 7d for seven days ago, in UTC.

    Units are m, h, d and w. Raises UsageError for anything else.
    """
    if text is None:
        return None
    if match := _AGO.fullmatch(text):
        when = datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])})
    else:
        try:
            when = datetime.fromisoformat(text).astimezone(UTC)
        except ValueError:
            raise UsageError(
                f"{text!r} is no time: write 2026-11-21, 2026-11-21T09:30, or 7d for 7 days ago"
            ) from None
    return when.isoformat(timespec="microseconds")


def end_of(text: str | None) -> str | None:
    """Like `moment`, but a date without a time is the last moment of that day here."""
    try:
        day = datetime.combine(date.fromisoformat(text or ""), time.max)
    except ValueError:
        return moment(text)
    return day.astimezone(UTC).isoformat(timespec="microseconds")


def build_filter(
    memory: Namespace,
    names: list[str] | None,
    since: str | None,
    until: str | None,
    as_of: str | None = None,
) -> Filter:
    """The filter of --source, --since, --until and --as-of; NotFoundError for an unknown source.

    As of a day, the document of that name may have been an earlier version.
    """
    from memagent.memory.store.events import Filter

    found = [memory.sources.get(name) for name in names or ()]
    sources = [i for each in found for i in (memory.sources.versions(each) if as_of else [each.id])]
    return Filter(moment(since), moment(until), tuple(sources), end_of(as_of))
