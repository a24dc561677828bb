"""Times that a question names, as ranges of days.

English only: elsewhere it finds years and dates in digits. Knows nothing of stores or scores.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

__all__ = ["Days", "closeness", "day_of", "days_named", "moments", "told"]

_MONTHS = (
    "january february march april may june july august september october november december".split()
)
_WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}  # their first month
_UNITS = {"day": 1, "night": 1, "week": 7, "weekend": 7, "month": 31, "year": 366}
_UNITS |= dict.fromkeys(_WEEKDAYS, 7)
_NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "a couple of": 2, "few": 3}

_MONTH = rf"(?P<month>{'|'.join(f'{m}|{m[:3]}' for m in _MONTHS)})\b\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?\b"
_YEAR = r"(?P<year>(?:19|20)\d\d)\b"
_UNIT = rf"(?P<unit>{'|'.join(_UNITS)})s?"
_COUNT = rf"(?P<count>\d{{1,3}}|{'|'.join(_NUMBERS)}|an?|the)"
# In this order: what one has found is left out for those behind it. A month by itself counts only
# where nothing but a month can stand.
_FORMS = [
    re.compile(form, re.IGNORECASE)
    for form in (
        r"\b(?P<year>(?:19|20)\d\d)-(?P<month>\d\d)-(?P<day>\d\d)\b",
        rf"\b{_DAY}(?: of)? {_MONTH}(?:,? ?{_YEAR})?",
        rf"\b{_MONTH} {_DAY}(?:,? ?{_YEAR})?",
        rf"\b{_MONTH},?(?: of)? {_YEAR}",
        rf"\b(?:in|of|by|last|this|during|since|until) {_MONTH}",
        rf"\b(?P<season>{'|'.join(_SEASONS)})(?: of)? {_YEAR}",
        rf"\b{_COUNT} {_UNIT} ago\b",
        rf"\b(?P<which>last|past|this) {_UNIT}\b",
        r"\b(?P<word>yesterday|today|tonight)\b",
        rf"\b{_YEAR}",
    )
]
_BESIDE = re.compile(
    rf"(?:\b{_COUNT} )?\b{_UNIT} (?P<side>before|after|prior to|following)(?: the)?\s*$",
    re.IGNORECASE,
)
_RELATIVE = frozenset({"unit", "word"})
_YEARS_BACK = 10  # that a date without a year may mean
_BESIDE_IT = 0.3  # a day next to one that is named
_TOLD_WITHIN = 7.0  # days in which what is told of a day grows fewer by a factor e
_PLANNED_WITHIN = 3.0


@dataclass(frozen=True, slots=True)
class Days:
    """The days from `first` to before `behind`."""

    first: date
    behind: date


def days_named(question: str, today: date) -> list[Days]:
    """The days that a question names; relative ones count from `today`.

    Each of several years that are possible gives a range of its own. "The week before" a date are
    the days up to it, "between" two dates is all that lies between.
    """
    found: list[tuple[str, dict[str, str]]] = []
    rest = question
    for form in _FORMS:
        for match in form.finditer(rest):
            groups = {name: text.lower() for name, text in match.groupdict().items() if text}
            found.append((question[: match.start()], groups))
        rest = form.sub(lambda match: "." * len(match[0]), rest)
    # "Last week" beside a date counts from that date, not from today.
    settled = [each for each in found if _RELATIVE.isdisjoint(each[1])]
    found = settled or found
    years = [int(groups["year"]) for _, groups in found if "year" in groups]
    named: list[Days] = []
    for before, groups in found:
        if set(groups) == {"year"} and len(found) > 1:
            continue  # it is that of another one
        possible = years[:1] or range(today.year, today.year - _YEARS_BACK, -1)
        ranges = [_range(groups, before, year, today) for year in possible]
        named += dict.fromkeys(days for days in ranges if days)
    if re.search(r"\bbetween\b", question, re.IGNORECASE) and len(named) == 2:
        return [Days(min(d.first for d in named), max(d.behind for d in named))]
    return named


def day_of(moment: str) -> date:
    """The day of an ISO 8601 time: here, if it says its zone."""
    when = datetime.fromisoformat(moment)
    return (when.astimezone() if when.tzinfo else when).date()


def told(days: Days) -> Days:
    """When the days may have been spoken of: they and a while after them."""
    return replace(days, behind=days.behind + timedelta(2 * _TOLD_WITHIN))


def moments(days: Days) -> tuple[str, str]:
    """The first midnight here and the last, in ISO 8601 UTC."""
    ends = (datetime.combine(day, time()).astimezone(UTC) for day in (days.first, days.behind))
    since, until = (moment.isoformat(timespec="microseconds") for moment in ends)
    return since, until


def closeness(day: date, named: Sequence[Days]) -> float:
    """1 for a day that is named, less for those after it, when it is told of, and before it."""

    def of(days: Days) -> float:
        if day < days.first:
            return _BESIDE_IT * math.exp((day - days.first).days / _PLANNED_WITHIN)
        if day >= days.behind:
            return _BESIDE_IT * math.exp((days.behind - day).days / _TOLD_WITHIN)
        return 1.0

    return max(map(of, named), default=0.0)


def _range(groups: dict[str, str], before: str, year: int, today: date) -> Days | None:
    """The days of one expression with the words before it; none of a day that does not exist."""
    try:
        return _beside(_plain(groups, int(groups.get("year", year)), today), before)
    except (ValueError, OverflowError):
        return None


def _plain(groups: dict[str, str], year: int, today: date) -> Days:
    if "day" in groups:
        first = date(year, _month(groups["month"]), int(groups["day"]))
        return Days(first, first + timedelta(1))
    if "month" in groups:
        return _months(year, _month(groups["month"]), 1)
    if "season" in groups:
        return _months(year, _SEASONS[groups["season"]], 3)
    if "word" in groups:
        first = today - timedelta(groups["word"] == "yesterday")
        return Days(first, first + timedelta(1))
    if "unit" in groups:
        return _relative(groups, today)
    return _months(year, 1, 12)


def _relative(groups: dict[str, str], today: date) -> Days:
    """Days up to today: of "last week", "this month", "two years ago"."""
    unit = _UNITS[groups["unit"]]
    if "count" in groups:
        middle = today - timedelta(unit * _count(groups["count"]))
        return Days(middle - timedelta(unit // 2), middle + timedelta(unit // 2 + 1))
    if groups["which"] == "this":
        return Days(today - timedelta(unit), today + timedelta(1))
    if groups["unit"] in _WEEKDAYS:
        back = (today.weekday() - _WEEKDAYS.index(groups["unit"]) - 1) % 7 + 1
        return Days(today - timedelta(back), today - timedelta(back - 1))
    return Days(today - timedelta(2 * unit), today)


def _beside(days: Days, before: str) -> Days:
    """The days, or those before or after them if the words before say so."""
    found = _BESIDE.search(before)
    if not found:
        return days
    length = timedelta(_UNITS[found["unit"].lower()] * _count((found["count"] or "").lower()))
    if found["side"].lower() in ("before", "prior to"):
        return replace(days, first=days.first - length)
    return replace(days, behind=days.behind + length)


def _count(word: str) -> int:
    return int(word) if word.isdigit() else _NUMBERS.get(word, 1)


def _month(word: str) -> int:
    if word.isdigit():
        return int(word)
    return next(number for number, name in enumerate(_MONTHS, 1) if name.startswith(word[:3]))


def _months(year: int, month: int, count: int) -> Days:
    last = year * 12 + month - 1 + count
    return Days(date(year, month, 1), date(last // 12, last % 12 + 1, 1))
