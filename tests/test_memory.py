"""Recall over a real store, the real embedder and a real index."""

import shutil
from pathlib import Path

import pytest

from memagent.errors import NotFoundError, UsageError
from memagent.memory.events import Filter
from memagent.memory.index.embedder import Embedder
from memagent.memory.namespace import Namespace
from memagent.memory.recall.signals.candidates import Rankings
from memagent.memory.store.database import Store
from memagent.types import Piece, Source
from tests.conftest import warned

FACTS = [
    "The lighthouse of Kap Arnar was built in 1874 from red granite.",
    "Its keeper, Jonas Brandt, kept bees behind the engine room.",
    "Trains to the coast leave every second hour from the southern platform.",
    "The bakery on Mill Street sells rye bread on Thursdays only.",
    "Nadia repaired the telescope with a spring from an old clock.",
    "In winter the ferry is replaced by an ice road of nine kilometres.",
]


def add(memory: Namespace, name: str, *texts: str) -> Source:
    source, _ = memory.sources.begin_document(name, f"hash of {name}", None, "text/plain")
    memory.add_pieces(source, [Piece(text) for text in texts], lambda spans, chars: None)
    return memory.sources.get(name)


def texts(memory: Namespace, question: str, budget: int = 60, **how: object) -> list[str]:
    return [hit.event.text for hit in memory.recall(question, budget=budget, **how).best]  # type: ignore[arg-type]


def ranked(memory: Namespace, question: str) -> Rankings:
    return memory.retriever.search.rankings(memory.retriever.search.query(question), 50, Filter())


def test_words_and_meaning_both_find(memory: Namespace) -> None:
    add(memory, "facts", *FACTS)
    assert texts(memory, "rye bread")[0] == FACTS[3]
    assert texts(memory, "Who looked after the insects?")[0] == FACTS[1]


def test_an_empty_memory_recalls_nothing(memory: Namespace) -> None:
    found = memory.recall("anything at all?", budget=500)
    assert (found.chosen, found.left_out, found.spent) == ((), (), 0)


@pytest.mark.parametrize(
    "question", ["", "   ", "???", '"', "AND OR NOT", "ns : n1", "a* (b", "🙂"]
)
def test_no_question_breaks_the_search(memory: Namespace, question: str) -> None:
    add(memory, "facts", *FACTS)
    assert memory.recall(question, budget=500).spent <= 500


@pytest.mark.parametrize("budget", [50, 80, 120, 500])
def test_the_budget_is_never_exceeded_and_neighbours_get_their_share(
    memory: Namespace, budget: int
) -> None:
    add(memory, "facts", *FACTS)
    found = memory.recall("lighthouse keeper bees", budget=budget)
    assert 0 < found.spent <= budget
    assert found.spent == sum(hit.tokens for hit in found.chosen)
    order = [(hit.event.source_id, hit.event.start) for hit in found.chosen]
    assert order == sorted(order)
    everything = {hit.event.id for hit in (*found.chosen, *found.left_out)}
    assert len(everything) == len(found.chosen) + len(found.left_out)


def test_neighbours_of_a_hit_come_with_it(memory: Namespace) -> None:
    filler = [f"Sentence number {n} is about nothing in particular, item {n}." for n in range(300)]
    story = ["Quite another matter.", "The zeppelin landed at noon.", "Everyone cheered loudly."]
    add(memory, "story", *filler[:150], *story, *filler[150:])
    found = memory.recall("zeppelin", budget=120, contiguity=0.5)
    via = {hit.event.text: hit.via for hit in found.chosen}
    assert via[story[1]] == "similarity"
    assert story[0] in via
    assert story[2] in via


def test_no_budget_is_kept_for_the_neighbours_of_turns(memory: Namespace) -> None:
    session = memory.sources.session("talk")
    for n in range(60):
        said = "The zeppelin landed." if n % 3 == 0 else f"Nothing in particular, item {n}."
        memory.spans.append_turn(session.id, "user", f"{said} Number {n}.")
    chosen = [
        [hit.event.id for hit in memory.recall("zeppelin", budget=200, contiguity=share).chosen]
        for share in (0.0, 0.5)
    ]
    assert chosen[0] == chosen[1]
    add(memory, "story", "The zeppelin landed once more. Everyone cheered.")
    found = memory.recall("zeppelin", budget=200, contiguity=0.5)
    assert {hit.event.kind for hit in found.chosen} == {"document", "session"}


def test_namespaces_are_walls(store: Store, embedder: Embedder, tmp_path: Path) -> None:
    mine = Namespace(store, "mine", embedder, tmp_path / "index")
    theirs = Namespace(store, "theirs", embedder, tmp_path / "index")
    add(mine, "facts", *FACTS[:3])
    add(theirs, "facts", *[f"{fact} Secret {n}." for n, fact in enumerate(FACTS * 20)])
    found = texts(mine, "lighthouse bees trains bread telescope ferry", budget=5000)
    assert sorted(found) == sorted(FACTS[:3])
    ids = [event.id for event in theirs.events.of(theirs.sources.get("facts").id)]
    assert mine.events.get(ids) == []


def test_time_and_source_are_filtered_before_the_search(memory: Namespace) -> None:
    session = memory.sources.session("talk")
    for day in range(1, 29):
        memory.spans.append_turn(
            session.id,
            "user",
            f"On day {day} we ate soup number {day}.",
            time=f"2026-02-{day:02}T12:00:00.000000+00:00",
        )
    add(memory, "facts", "Soup is eaten with a spoon.")
    window = Filter(since="2026-02-10T00:00:00", until="2026-02-12T00:00:00")
    found = texts(memory, "Which soup did we eat?", budget=5000, where=window)
    assert sorted(found) == [
        "On day 10 we ate soup number 10.",
        "On day 11 we ate soup number 11.",
    ]
    only = Filter(sources=(memory.sources.get("facts").id,))
    assert texts(memory, "soup", budget=5000, where=only) == ["Soup is eaten with a spoon."]


def test_search_gives_the_same_as_with_a_rebuilt_index(
    store: Store, embedder: Embedder, tmp_path: Path
) -> None:
    first = Namespace(store, "default", embedder, tmp_path / "index")
    add(first, "facts", *FACTS)
    add(first, "more", *[f"{fact} Again, {n}." for n, fact in enumerate(FACTS * 10)])
    questions = [*FACTS, "bees", "old clock", "the coast in winter"]
    before = [ranked(first, question) for question in questions]
    first.close()
    shutil.rmtree(tmp_path / "index", ignore_errors=True)
    second = Namespace(store, "default", embedder, tmp_path / "index")
    assert [ranked(second, question) for question in questions] == before
    second.rebuild()
    after = [texts(second, question, 400) for question in questions]
    assert after == [texts(first, question, 400) for question in questions]


def test_a_missing_index_file_is_one_warning(
    store: Store, embedder: Embedder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = Namespace(store, "default", embedder, tmp_path / "index")
    add(first, "facts", *[f"{fact} {n}" for n, fact in enumerate(FACTS * 60)])
    texts(first, "bees")
    first.close()
    files = list((tmp_path / "index").glob("*.faiss"))
    assert len(files) == 1
    files[0].unlink()
    second = Namespace(store, "default", embedder, tmp_path / "index")
    assert texts(second, "bees")
    assert texts(second, "clock")
    (warning,) = warned(caplog)
    assert "was missing: rebuilt from the store" in warning


def test_another_embedder_gets_vectors_of_its_own(
    store: Store, embedder: Embedder, tmp_path: Path
) -> None:
    copy = tmp_path / "other-model"
    shutil.copytree(embedder.folder, copy)
    other = Embedder(str(copy))
    assert other.id != embedder.id
    first = Namespace(store, "default", embedder, tmp_path / "index")
    add(first, "facts", *FACTS)
    texts(first, "bees")
    second = Namespace(store, "default", other, tmp_path / "index")
    assert texts(second, "bees")[0] == FACTS[1]
    sets = store.rows("SELECT embedder, count FROM vector_sets ORDER BY embedder")
    assert {row["count"] for row in sets} == {len(FACTS)}
    assert len(sets) == 2


def test_only_the_new_text_of_an_updated_document_is_recalled(memory: Namespace) -> None:
    add(memory, "plan", "The party is on Saturday.")
    assert texts(memory, "party") == ["The party is on Saturday."]
    source, _ = memory.sources.begin_document("plan", "another hash", None, "text/plain")
    memory.add_pieces(source, [Piece("The party is on Sunday.")], lambda spans, chars: None)
    assert texts(memory, "party") == ["The party is on Sunday."]


def test_withdrawn_and_unsegmented_turns_are_not_recalled(memory: Namespace) -> None:
    session = memory.sources.session("talk")
    kept = memory.spans.append_turn(session.id, "user", "The blue kite flew over the dunes.")
    memory.spans.append_turn(session.id, "user", "Is the kite blue?", segment=False)
    assert texts(memory, "kite") == [kept.text]
    memory.withdraw([kept])
    assert texts(memory, "kite") == []
    memory.rebuild()
    assert texts(memory, "kite") == []
    assert memory.spans.get(kept.id).text == kept.text


def test_a_filter_takes_dates_ages_and_names(memory: Namespace) -> None:
    where = Filter(since="2026-01-01T00:00:00+02:00", until="1d", as_of="2026-03-01")
    assert where.since == "2025-12-31T22:00:00.000000+00:00"
    assert where == Filter(where.since, where.until, where.sources, where.as_of)
    with pytest.raises(UsageError, match="is no time"):
        Filter(until="soon")
    with pytest.raises(NotFoundError, match="'nowhere'"):
        memory.recall("anything", budget=100, where=Filter(sources=["nowhere"]))
    with pytest.raises(NotFoundError, match="no source 99"):
        memory.recall("anything", budget=100, where=Filter(sources=(99,)))
