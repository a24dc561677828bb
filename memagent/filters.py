"""What may be recalled at all, from the command line: times and sources."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from memagent.errors import UsageError

if TYPE_CHECKING:
    from memagent.memory.events import Filter
    from memagent.memory.memory import Memory

__all__ = ["build_filter", "moment"]

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


def build_filter(
    memory: Memory, names: list[str] | None, since: str | None, until: str | None
) -> Filter:
    """The filter of --source, --since and --until; NotFoundError for an unknown source."""
    from memagent.memory.events import Filter

    sources = tuple(memory.sources.get(name).id for name in names or ())
    return Filter(moment(since), moment(until), sources)
