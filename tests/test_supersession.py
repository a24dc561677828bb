"""Recall marks superseded statements and drops none, now and as of an earlier time."""

import logging
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from memagent.memory.events import Filter
from memagent.memory.index.embedder import Embedder
from memagent.memory.namespace import Namespace
from memagent.memory.recall.selection import Recalled
from memagent.memory.recall.supersession import supersede
from memagent.memory.store.database import Store
from memagent.types import Piece, Source

JANUARY, MAY, JUNE = (f"2026-{month}-05T10:00:00+00:00" for month in ("01", "05", "06"))
SPRING, SUMMER = (
    Filter(as_of="2026-03-01T00:00:00+00:00"),
    Filter(as_of="2026-05-20T00:00:00+00:00"),
)
CODE = "What is the gate code?"


def say(
    memory: Namespace, text: str, time: str, session: str = "talk", role: str = "user"
) -> Source:
    source = memory.sources.session(session)
    memory.spans.append_turn(source.id, role, text, time=time)  # type: ignore[arg-type]
    return memory.sources.get(session)


def told(memory: Namespace) -> None:
    say(memory, "The gate code is 4711. My dog is called Rex.", JANUARY)
    say(memory, "The gate code changed to 9200.", MAY, "other")
    say(memory, "The gate code is now 5555.", JUNE)


def valid(found: Recalled) -> dict[str, list[tuple[str, str | None]]]:
    """Of every event with intervals its first words and when they were valid."""
    return {
        hit.event.text[:21]: [(each.since, each.until) for each in hit.event.intervals]
        for hit in found.chosen
        if hit.event.intervals
    }


def test_each_statement_is_valid_until_the_next_and_all_are_recalled(memory: Namespace) -> None:
    told(memory)
    found = memory.recall(CODE, budget=500)
    assert valid(found) == {
        "The gate code is 4711": [(JANUARY, MAY)],
        "The gate code changed": [(MAY, JUNE)],
        "The gate code is now ": [(JUNE, None)],
    }
    first, second, third = found.chosen
    assert first.note == "in part superseded on 2026-05-05"
    assert second.note == "superseded on 2026-06-05"
    assert third.note == ""
    assert first.event.intervals[0].by == second.event.intervals[0].by
    assert [line["valid"][0]["until"] for line in found.report()["chosen"]] == [MAY, JUNE, None]


def test_what_came_later_is_unknown_as_of_a_moment(memory: Namespace) -> None:
    told(memory)
    before = memory.recall(CODE, budget=500, where=SPRING)
    assert [hit.event.time for hit in before.chosen] == [JANUARY]
    assert valid(before) == {}
    between = memory.recall(CODE, budget=500, where=SUMMER)
    assert valid(between) == {
        "The gate code is 4711": [(JANUARY, MAY)],
        "The gate code changed": [(MAY, None)],
    }
    never = memory.recall(CODE, budget=500, where=Filter(as_of="2025-01-01T00:00:00+00:00"))
    assert never.chosen == never.left_out == ()


def test_an_earlier_time_counts_whenever_it_was_stored(memory: Namespace) -> None:
    say(memory, "My address is Oak Street 9.", MAY)
    say(memory, "My address is Rose Lane 4.", JANUARY, "diary")
    found = memory.recall("address", budget=500)
    assert valid(found)["My address is Rose La"] == [(JANUARY, MAY)]


def test_the_newer_statement_is_brought_along_where_it_fits(memory: Namespace) -> None:
    told(memory)
    found = memory.recall(CODE, budget=500)
    old, newest = found.chosen[0], found.chosen[2]

    def again(budget: int, where: Filter, *, skips: bool = False) -> list[tuple[str, str]]:
        """What becomes of the old statement alone, as if nothing else had been recalled."""
        alone = replace(found, budget=budget, chosen=(old,), left_out=(), spent=old.tokens)
        marked = supersede(
            alone, memory.events, memory.retriever.lexical, where, len, lambda event: skips
        )
        assert marked.spent <= budget
        return [(hit.event.text, hit.via) for hit in marked.chosen]

    alone = [(old.event.text, "similarity")]
    assert again(500, Filter()) == [*alone, (newest.event.text, "supersession")]
    assert again(old.tokens + 5, Filter()) == alone
    assert again(500, Filter(), skips=True) == alone
    assert again(500, Filter(until=MAY)) == alone
    summer = again(500, SUMMER)
    assert summer == [*alone, ("The gate code changed to 9200.", "supersession")]


def test_a_filter_leaves_out_the_newer_one_and_not_that_there_is_one(memory: Namespace) -> None:
    say(memory, "I live in Hamburg.", JANUARY)
    say(memory, "I moved to Berlin.", MAY, "other")
    only = Filter(sources=(memory.sources.get("talk").id,))
    (hit,) = memory.recall("Hamburg", budget=500, where=only).chosen
    assert (hit.event.text, hit.note) == ("I live in Hamburg.", "superseded on 2026-05-05")


def test_speakers_roles_and_namespaces_do_not_mix(
    memory: Namespace, store: Store, embedder: Embedder, tmp_path: Path
) -> None:
    say(memory, "Ann: My address is Rose Lane 4.", JANUARY)
    say(memory, "Bob: My address is now Oak Street 9.", MAY)
    say(memory, "Ann: My address is now Elm Road 7.", MAY, role="assistant")
    other = Namespace(store, "other", embedder, tmp_path / "index")
    say(other, "Ann: My address is now Fir Alley 2.", MAY)
    assert valid(memory.recall("address", budget=500)) == {}
    say(memory, "Ann: My address is now Birch Way 3.", JUNE)
    assert valid(memory.recall("address", budget=500)) == {
        "Ann: My address is Ro": [(JANUARY, JUNE)],
        "Ann: My address is no": [(JUNE, None)],
    }


def test_forgetting_the_newer_one_makes_the_older_valid_again(memory: Namespace) -> None:
    told(memory)
    memory.forget_source(memory.sources.get("other"))
    assert valid(memory.recall(CODE, budget=500))["The gate code is 4711"] == [(JANUARY, JUNE)]
    talk = memory.sources.get("talk")
    memory.forget_range(talk.id, 44, talk.chars)
    assert valid(memory.recall(CODE, budget=500)) == {}


def test_a_withdrawn_statement_supersedes_nothing(memory: Namespace) -> None:
    told(memory)
    memory.recall(CODE, budget=500)
    memory.withdraw(memory.spans.of(memory.sources.get("other").id))
    memory.withdraw(memory.spans.of(memory.sources.get("talk").id)[1:])
    assert valid(memory.recall(CODE, budget=500)) == {}


def test_a_rebuilt_store_has_the_same_intervals(memory: Namespace) -> None:
    told(memory)
    before = valid(memory.recall(CODE, budget=500))
    memory.rebuild()
    assert valid(memory.recall(CODE, budget=500)) == before


def version(memory: Namespace, text: str) -> str:
    """Adds a version of a plan, and the moment when it was the newest."""
    source, _ = memory.sources.begin_document("plan.txt", text, None, "text/plain")
    memory.add_pieces(source, [Piece(text)], lambda spans, chars: None)
    memory.catch_up()
    return memory.sources.by_id(source.id).updated


OLD, NEW = "The budget of the tower is 40 million.", "The budget of the tower is 60 million."


@pytest.fixture
def plans(store: Store, embedder: Embedder, tmp_path: Path) -> Namespace:
    """A memory that may log warnings."""
    return Namespace(store, "default", embedder, tmp_path / "index")


def found(memory: Namespace, moment: str | None) -> list[str]:
    where = Filter(as_of=moment)
    return [h.event.text for h in memory.recall("tower", budget=500, where=where).chosen]


def test_a_document_is_searched_in_the_version_of_that_time(
    plans: Namespace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="memagent")
    say(plans, "I saw the tower today.", JANUARY)
    first = version(plans, OLD)
    count = plans.events.count_after()
    second = version(plans, NEW)
    assert found(plans, None) == ["I saw the tower today.", NEW]
    assert caplog.messages == []
    assert found(plans, first) == ["I saw the tower today.", OLD]
    assert caplog.messages == ["reading as it stood then: plan.txt"]
    assert found(plans, first) == ["I saw the tower today.", OLD]
    assert found(plans, second) == ["I saw the tower today.", NEW]
    assert len(caplog.messages) == 1, "it is read once"
    # Ordinary recall has not become larger, and nobody sees a namespace more.
    assert plans.events.count_after() == count
    assert [row["name"] for row in plans.sources.namespaces(plans.store)] == ["default"]
    assert plans.sources.versions(plans.sources.get("plan.txt")) == [2, 3]
    plans.rebuild()
    assert found(plans, None) == ["I saw the tower today.", NEW]
    assert found(plans, first) == ["I saw the tower today.", OLD]


def test_a_forgotten_document_leaves_no_version(plans: Namespace, tmp_path: Path) -> None:
    first = version(plans, OLD)
    version(plans, NEW)
    assert found(plans, first) == [OLD]
    old = plans.sources.versions(plans.sources.get("plan.txt"))[0]
    plans.forget_range(old, 4, 10)
    assert found(plans, first) == [OLD.replace("budget", "█" * 6)]
    plans.forget_source(plans.sources.get("plan.txt"))
    assert found(plans, first) == []
    plans.purge()
    plans.close()
    assert plans.store.rows("SELECT * FROM events") == []
    left = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"tower" not in left


def test_two_processes_cut_an_earlier_version_once(
    plans: Namespace, embedder: Embedder, tmp_path: Path
) -> None:
    first = version(plans, OLD)
    version(plans, NEW)
    other = Namespace(Store(tmp_path / "memory.db"), "default", embedder, tmp_path / "index")
    answers: list[list[str]] = []
    both = [
        threading.Thread(target=lambda m=m: answers.append(found(m, first)))  # type: ignore[misc]
        for m in (plans, other)
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert answers == [[OLD], [OLD]]
    assert len(plans.store.rows("SELECT * FROM events")) == 2
    other.store.close()
