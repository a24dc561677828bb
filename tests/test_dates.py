"""Dates named in a question, and how close other dates are to them."""

from datetime import date

import pytest

from memagent.memory.namespace import Namespace
from memagent.memory.recall.language.dates import Days, closeness, day_of, days_named

ORDER = ("first", "second", "other", "odd", "small")
DONE = ("heard", "seen", "done", "written")
THURSDAY = date(2026, 11, 26)


def days(first: str, last: str | None = None) -> Days:
    """From a first to a last day, both written in ISO 8601."""
    behind = date.fromisoformat(last or first).toordinal() + 1
    return Days(date.fromisoformat(first), date.fromordinal(behind))


@pytest.mark.parametrize(
    ("question", "named"),
    [
        ("What did I pay on 7 July, 2023?", days("2023-07-07")),
        ("What did I pay on July 7th 2023?", days("2023-07-07")),
        ("the 3rd of March 2021", days("2021-03-03")),
        ("notes of 2024-02-28", days("2024-02-28")),
        ("What did Ann buy in October 2023?", days("2023-10-01", "2023-10-31")),
        ("And in Feb. 2024?", days("2024-02-01", "2024-02-29")),
        ("Where was Ann in summer 2021?", days("2021-06-01", "2021-08-31")),
        ("Where was Ann in winter 2021?", days("2021-12-01", "2022-02-28")),
        ("How often did she swim in 2023?", days("2023-01-01", "2023-12-31")),
        ("What did we say yesterday?", days("2026-11-25")),
        ("What did we say last Tuesday?", days("2026-11-24")),
        ("What did we say last Thursday?", days("2026-11-19")),
        ("What did I order two weeks ago?", days("2026-11-09", "2026-11-15")),
        ("Where was he the week before 16 November 2023?", days("2023-11-09", "2023-11-16")),
        ("Which cat came two weeks before August 11, 2023?", days("2023-07-28", "2023-08-11")),
        ("What did he do the day after 1 May 2022?", days("2022-05-01", "2022-05-02")),
        ("Between August 11 and August 15 2023, where was he?", days("2023-08-11", "2023-08-15")),
        ("What was it last week, as told on 6 November 2023?", days("2023-11-06")),
    ],
)
def test_a_question_names_days(question: str, named: Days) -> None:
    assert days_named(question, THURSDAY) == [named]


@pytest.mark.parametrize(
    "question",
    ["What may I eat?", "March on!", "Mary is second to none.", "on 30 February 2023", "room 4711",
     "the gate code", "", "0000-00-00", "9999-12-20", "2023-13-01"],
)  # fmt: skip
def test_no_day_is_named(question: str) -> None:
    assert days_named(question, THURSDAY) == []


def test_no_time_is_too_long_ago(memory: Namespace) -> None:
    memory.spans.append_turn(memory.sources.session("talk").id, "user", "It rained all day.")
    for question in ("Was it so 999 years ago?", "the 999 years before 1 May 1901", "in 2099"):
        assert len(days_named(question, THURSDAY)) == 1
        assert memory.recall(question, budget=500).chosen


def test_a_date_without_a_year_may_be_that_of_several() -> None:
    found = days_named("When did we camp in June?", THURSDAY)
    assert found[0] == days("2026-06-01", "2026-06-30")
    assert found[3] == days("2023-06-01", "2023-06-30")


def test_statements_weigh_less_the_later_they_were_made() -> None:
    named = [days("2023-05-03"), days("2023-08-03")]
    values = [closeness(date(2023, 5, day), named) for day in (3, 4, 5, 20)]
    assert values[0] == 1
    assert values == sorted(values, reverse=True)
    assert 0 < closeness(date(2023, 5, 2), named) < 1
    assert closeness(date(2023, 8, 3), named) == 1
    assert closeness(THURSDAY, named) < 0.001
    assert closeness(THURSDAY, []) == 0


def test_a_time_without_a_zone_is_of_its_day() -> None:
    assert day_of("2023-05-08T23:59:00") == date(2023, 5, 8)
    assert day_of("2023-05-08T12:00:00+00:00") == date(2023, 5, 8)


def test_what_was_said_on_the_day_comes_first(memory: Namespace) -> None:
    for month in range(1, 8):
        session = memory.sources.session(f"talk {month}")
        memory.spans.append_turn(
            session.id, "user", "Ann: We had the soup again.", time=f"2024-{month:02}-11T12:00:00"
        )
    found = memory.recall("Which soup did Ann have on 11 April 2024?", budget=2000).best
    assert found[0].event.time.startswith("2024-04")
    later = memory.recall("Which soup did Ann have in the week before 13 June 2024?", budget=2000)
    assert later.best[0].event.time.startswith("2024-06")


def test_a_day_is_found_among_many_by_its_date_alone(memory: Namespace) -> None:
    for day in range(1, 29):
        session = memory.sources.session(f"day {day}")
        for turn in range(20):
            text = f"Of the {ORDER[turn % 5]} thing nothing more was {DONE[turn // 5]}."
            memory.spans.append_turn(session.id, "user", text, time=f"2024-02-{day:02}T09:00:00")
    found = memory.recall("What did we say on 17 February 2024?", budget=1500).best
    on_the_day = [hit.event.time.startswith("2024-02-17") for hit in found]
    assert all(on_the_day[:5])
    assert sum(on_the_day) >= 10
