"""Times that a question or a turn mentions, as ranges of days.

English only: in other languages it finds years and dates in digits. Knows nothing of stores
or scores.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

__all__ = [
    "Days",
    "closeness",
    "day_of",
    "days_named",
    "mentioned_within",
    "mentions_time",
    "moments",
]

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
# Tried in this order; text that one form has matched is hidden from the later ones. A month without
# a day or year counts only after a preposition or the like.
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
_WORDS = re.compile(r"[a-z]+|\d+")
_TIME_WORDS = frozenset(
    """yesterday today tomorrow tonight last next ago week weekend month year day days monday
    tuesday wednesday thursday friday saturday sunday january february march april may june july
    august september october november december morning since recently soon""".split()
) | frozenset(map(str, range(1000, 3000)))
_OFFSET = re.compile(
    rf"(?:\b{_COUNT} )?\b{_UNIT} (?P<side>before|after|prior to|following)(?: the)?\s*$",
    re.IGNORECASE,
)
_RELATIVE = frozenset({"unit", "word"})
_YEARS_BACK = 10  # that a date without a year may mean
_NEXT_DAY = 0.3  # closeness of a day next to one that is named
# Days after (before) a day within which mentions of it become rarer by a factor e.
_MENTION_DECAY = 7.0
_PLAN_DECAY = 3.0


@dataclass(frozen=True, slots=True)
class Days:
    """The days from `first` up to, but not including, `end`."""

    first: date
    end: date


def days_named(question: str, today: date) -> list[Days]:
    """The days that a question names; relative ones count from `today`.

    If several years are possible, each gives a range of its own. "The week before" a date means
    the days up to it, "between" two dates everything from one to the other.
    """
    found: list[tuple[str, dict[str, str]]] = []
    rest = question
    for form in _FORMS:
        for match in form.finditer(rest):
            groups = {name: text.lower() for name, text in match.groupdict().items() if text}
            found.append((question[: match.start()], groups))
        rest = form.sub(lambda match: "." * len(match[0]), rest)
    # "Last week" next to a date counts from that date, not from today.
    settled = [each for each in found if _RELATIVE.isdisjoint(each[1])]
    found = settled or found
    years = [int(groups["year"]) for _, groups in found if "year" in groups]
    named: list[Days] = []
    for before, groups in found:
        if set(groups) == {"year"} and len(found) > 1:
            continue  # it belongs to another expression
        possible = years[:1] or range(today.year, today.year - _YEARS_BACK, -1)
        ranges = [_range(groups, before, year, today) for year in possible]
        named += dict.fromkeys(days for days in ranges if days)
    if re.search(r"\bbetween\b", question, re.IGNORECASE) and len(named) == 2:
        return [Days(min(d.first for d in named), max(d.end for d in named))]
    return named


def day_of(moment: str) -> date:
    """The local day of an ISO 8601 time."""
    when = datetime.fromisoformat(moment)
    return (when.astimezone() if when.tzinfo else when).date()


def mentioned_within(days: Days) -> Days:
    """The days in which `days` are likely to be mentioned: themselves and two weeks after."""
    return replace(days, end=days.end + timedelta(2 * _MENTION_DECAY))


def moments(days: Days) -> tuple[str, str]:
    """The local midnights at which the days start and end, in ISO 8601 UTC."""
    ends = (datetime.combine(day, time()).astimezone(UTC) for day in (days.first, days.end))
    since, until = (moment.isoformat(timespec="microseconds") for moment in ends)
    return since, until


def closeness(day: date, named: Sequence[Days]) -> float:
    """1 for a day that is named, less the further it lies before or after the named days."""

    def of(days: Days) -> float:
        if day < days.first:
            return _NEXT_DAY * math.exp((day - days.first).days / _PLAN_DECAY)
        if day >= days.end:
            return _NEXT_DAY * math.exp((days.end - day).days / _MENTION_DECAY)
        return 1.0

    return max(map(of, named), default=0.0)


def mentions_time(text: str) -> bool:
    """Whether a text contains a word for a time, or a year in digits."""
    return not _TIME_WORDS.isdisjoint(_WORDS.findall(text.lower()))


def _range(groups: dict[str, str], before: str, year: int, today: date) -> Days | None:
    """The days of one expression, given the words before it; None for a day that does not exist."""
    try:
        return _shift(_absolute(groups, int(groups.get("year", year)), today), before)
    except (ValueError, OverflowError):
        return None


def _absolute(groups: dict[str, str], year: int, today: date) -> Days:
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
    """The days of "last week", "this month" or "two years ago", counted back from today."""
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


def _shift(days: Days, before: str) -> Days:
    """The days, extended before or after if the words before them say so ("the week before")."""
    found = _OFFSET.search(before)
    if not found:
        return days
    length = timedelta(_UNITS[found["unit"].lower()] * _count((found["count"] or "").lower()))
    if found["side"].lower() in ("before", "prior to"):
        return replace(days, first=days.first - length)
    return replace(days, end=days.end + length)


def _count(word: str) -> int:
    return int(word) if word.isdigit() else _NUMBERS.get(word, 1)


def _month(word: str) -> int:
    if word.isdigit():
        return int(word)
    return next(number for number, name in enumerate(_MONTHS, 1) if name.startswith(word[:3]))


def _months(year: int, month: int, count: int) -> Days:
    last = year * 12 + month - 1 + count
    return Days(date(year, month, 1), date(last // 12, last % 12 + 1, 1))
