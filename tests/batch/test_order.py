"""Scripted batches: the effect of rows, their order, and that each runs exactly once."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memagent.agent.workspace import Workspace
from memagent.batch.results import Results
from memagent.batch.rows import Row, read_rows
from memagent.batch.runner import Batch
from memagent.engines.base import Engine
from memagent.engines.scripted import Reply, ScriptedEngine
from memagent.errors import EngineError, MemagentError, ServerDownError, StoreError
from memagent.memory.index.embedder import Embedder
from memagent.memory.store.batches import Batches
from memagent.settings import Settings
from memagent.types import Request
from tests.batch.batches import Rows, as_lines, results_of

KEEPER = "The keeper of the lighthouse is Ansel Grubb. He has two dogs.\n"


class Desk(Workspace):
    """A workspace with an engine of the test's choice."""

    def __init__(self, settings: Settings, embedder: Embedder) -> None:
        super().__init__(settings, embedder=embedder)
        self.scripted = ScriptedEngine()

    @property
    def engine(self) -> Engine:
        return self.scripted

    def script(self, reply: Callable[[Request], Reply]) -> ScriptedEngine:
        self.scripted = ScriptedEngine(reply)
        return self.scripted


class Dying(Results):
    """Ends the batch between the work of a row and its result."""

    victim: object = None

    def append(self, row: Row, outcome: dict[str, Any]) -> None:
        if row.id == self.victim:
            raise KeyboardInterrupt
        super().append(row, outcome)


@pytest.fixture
def desk(tmp_path: Path, embedder: Embedder) -> Iterator[Desk]:
    with Desk(Settings(store=tmp_path / "memory.db"), embedder) as made:
        yield made


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


def carry_out(
    desk: Desk, rows: Rows, out: Path, *, dies_at: object = None, resume: bool = False, **how: Any
) -> Batch:
    with Dying(out, resume=resume) as results:
        results.victim = dies_at if dies_at is not None else object()
        record = Batches(desk.store, str(out), resume=resume)
        batch = Batch(desk, record, results, **how)
        batch.run(read_rows(as_lines(rows)))
    return batch


def test_each_operation_does_its_work(desk: Desk, out: Path, tmp_path: Path) -> None:
    (tmp_path / "boats.txt").write_text("The ferry to Skarvoy leaves at nine.\n")
    rows: Rows = [
        {"id": 1, "op": "add", "text": KEEPER, "name": "notes"},
        {"id": 2, "op": "add", "path": str(tmp_path / "boats.txt"), "name": "boats"},
        {"id": 3, "op": "ask", "question": "Who is the keeper of the lighthouse?"},
        {"id": 4, "op": "chat", "session": "s", "text": "My cat is Bodo.", "time": "2024-05-06"},
        {"id": 5, "op": "search", "query": "ferry", "limit": 1, "source": "boats"},
        {"id": 6, "op": "search", "query": "ferry", "namespace": "elsewhere"},
        {"id": 7, "op": "forget", "source": "notes", "start": 32, "end": 43},
        {"id": 8, "op": "forget", "source": "boats"},
        {"id": 9, "op": "search", "query": "ferry to Skarvoy", "source": "boats"},
        {"id": 10, "op": "add", "path": str(tmp_path)},
        {"id": 11, "op": "search", "query": "Bodo", "until": "some day"},
    ]
    batch = carry_out(desk, rows, out)
    found = {value["id"]: value for value in results_of(out)}
    assert [value["status"] for value in found.values()] == ["ok"] * 8 + ["error"] * 3
    assert (batch.ok, batch.failed) == (8, 3)
    assert found[1]["result"]["chars"] == len(KEEPER)
    (cited,) = found[3]["result"]["citations"]
    stored = {"notes": KEEPER, "boats": (tmp_path / "boats.txt").read_text()}[cited["source"]]
    assert stored[cited["start"] : cited["end"]] == cited["text"]
    assert [hit["source"] for hit in found[5]["result"]["hits"]] == ["boats"]
    assert found[6]["result"]["hits"] == []
    assert found[7]["result"] == {"source": "notes", "forgotten": 11}
    memory = desk.memory()
    text = memory.spans.text(memory.sources.get("notes").id)
    assert text == KEEPER.replace("Ansel Grubb", "█" * 11)
    assert "'boats'" in found[9]["error"] and "is a folder" in found[10]["error"]
    turn, answer = memory.spans.of(memory.sources.get("s").id)
    assert (turn.text, turn.time[:4], answer.role) == ("My cat is Bodo.", "2024", "assistant")


def test_a_failing_engine_fails_its_row_and_the_batch_goes_on(desk: Desk, out: Path) -> None:
    desk.script(lambda request: EngineError("gone") if "3" in request.question else "Yes.")
    rows: Rows = [{"id": n, "op": "ask", "question": f"Is it {n}?"} for n in range(6)]
    batch = carry_out(desk, rows, out)
    assert {v["id"]: v.get("error") for v in results_of(out) if v["status"] == "error"} == {
        3: "gone"
    }
    assert (batch.ok, batch.failed) == (5, 1)


def test_too_many_errors_stop_the_batch(desk: Desk, out: Path) -> None:
    engine = desk.script(lambda request: EngineError("gone"))
    rows: Rows = [{"id": n, "op": "ask", "question": "Is it?"} for n in range(6)]
    batch = carry_out(desk, rows, out, max_errors=2)
    assert batch.gave_up and len(results_of(out)) == len(engine.requests) == 2


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("error", [StoreError, ServerDownError])
def test_a_broken_store_or_a_lost_server_ends_the_batch_without_a_result(
    desk: Desk, out: Path, concurrency: int, error: type[MemagentError]
) -> None:
    desk.script(lambda request: error("no room left"))
    rows: Rows = [{"id": 1, "op": "ask", "question": "Is it?"}]
    with pytest.raises(error, match="no room left"):
        carry_out(desk, rows, out, concurrency=concurrency)
    assert results_of(out) == []


def test_questions_run_at_the_same_time_and_conversations_in_order(desk: Desk, out: Path) -> None:
    together = threading.Barrier(3, timeout=60)

    def reply(request: Request) -> Reply:
        if request.question.startswith("Ask"):
            together.wait()  # three questions must be under way for one of them to end
        return "Yes."

    desk.script(reply)
    rows: Rows = [{"id": f"q{n}", "op": "ask", "question": f"Ask {n}?"} for n in range(3)]
    told = [(f"s{n % 2}", f"Turn {n}.") for n in range(12)]
    rows = [*rows, *({"id": t, "op": "chat", "session": s, "text": t} for s, t in told)]
    carry_out(desk, rows, out, concurrency=3)
    assert Counter(value["status"] for value in results_of(out)) == {"ok": 15}
    memory = desk.memory()
    for name in ("s0", "s1"):
        turns = memory.spans.of(memory.sources.get(name, "session").id)
        assert [turn.role for turn in turns] == ["user", "assistant"] * 6
        assert [turn.text for turn in turns[::2]] == [text for s, text in told if s == name]


def test_adding_waits_for_the_rows_before_it(desk: Desk, out: Path) -> None:
    seen: list[bool] = []

    def reply(request: Request) -> Reply:
        threading.Event().wait(0.2)
        seen.append(desk.memory().sources.find("notes") is None)
        return "Yes."

    desk.script(reply)
    rows: Rows = [{"id": n, "op": "ask", "question": f"Ask {n}?"} for n in range(3)]
    rows = [*rows, {"id": "add", "op": "add", "text": KEEPER, "name": "notes"}]
    rows = [*rows, {"id": "find", "op": "search", "query": "lighthouse"}]
    carry_out(desk, rows, out, concurrency=4)
    assert seen == [True] * 3
    assert results_of(out)[-1]["result"]["hits"][0]["source"] == "notes"


EVERYTHING: Rows = [
    {"id": "add", "op": "add", "text": KEEPER, "name": "notes"},
    {"id": "chat", "op": "chat", "session": "s", "text": "My cat is Bodo."},
    {"id": "ask", "op": "ask", "question": "Who is the keeper?"},
    {"id": "search", "op": "search", "query": "dogs"},
    {"id": "part", "op": "forget", "source": "notes", "start": 0, "end": 10},
    {"id": "all", "op": "forget", "source": "notes"},
]


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize("victim", [row["id"] for row in EVERYTHING if isinstance(row, dict)])
def test_a_row_that_was_done_but_not_written_is_not_done_twice(
    desk: Desk, out: Path, victim: str, concurrency: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        carry_out(desk, EVERYTHING, out, dies_at=victim, concurrency=concurrency)
    carry_out(desk, EVERYTHING, out, resume=True, concurrency=concurrency)
    found = {value["id"]: value for value in results_of(out)}
    assert len(results_of(out)) == len(found) == len(EVERYTHING)
    assert {value["status"] for value in found.values()} == {"ok"}
    questions = Counter(request.question for request in desk.scripted.requests)
    assert set(questions) == {"My cat is Bodo.", "Who is the keeper?"}
    if victim in ("chat", "ask"):
        assert questions[found[victim]["result"]["question"]] == 1
    assert found["part"]["result"]["forgotten"] == 10
    assert found["all"]["result"]["forgotten"] == len(KEEPER) - 10
    memory = desk.memory()
    turns = memory.spans.of(memory.sources.get("s").id, withdrawn=False)
    assert [turn.role for turn in turns] == ["user", "assistant"]


def test_a_stopped_answer_is_withdrawn_and_generated_again(desk: Desk, out: Path) -> None:
    rows: Rows = [{"id": 1, "op": "chat", "session": "s", "text": "My cat is Bodo."}]
    stop = desk.script(lambda request: "one two three")
    original = stop.stream

    def cut(request: Request) -> Iterator[Any]:
        yield next(original(request))
        raise KeyboardInterrupt

    stop.stream = cut  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        carry_out(desk, rows, out)
    desk.script(lambda request: "whole")
    carry_out(desk, rows, out, resume=True)
    assert results_of(out)[0]["result"]["text"] == "whole"
    memory = desk.memory()
    turns = memory.spans.of(memory.sources.get("s").id)
    assert [(turn.text, turn.withdrawn) for turn in turns] == [
        ("My cat is Bodo.", False),
        ("one", True),
        ("whole", False),
    ]


def test_a_torn_last_line_is_cut_off_and_its_row_done(desk: Desk, out: Path) -> None:
    rows: Rows = [{"id": n, "op": "search", "query": "dogs"} for n in range(3)]
    carry_out(desk, [*rows, b"not json"], out)
    whole = out.read_text()
    out.write_text(whole[: whole.index('"id": 2') + 9])
    batch = carry_out(desk, [*rows, b"not json"], out, resume=True)
    assert out.read_text() == whole
    assert (batch.ok, batch.failed, batch.skipped) == (1, 1, 2)
    again = carry_out(desk, [*rows, b"not json"], out, resume=True)
    assert out.read_text() == whole
    assert (again.skipped, again.failed_before) == (4, 1)


def test_another_row_under_a_known_id_in_a_new_file_is_another_row(desk: Desk, out: Path) -> None:
    carry_out(desk, [{"id": 1, "op": "chat", "session": "s", "text": "One."}], out)
    out.unlink()
    other: Rows = [{"id": 1, "op": "chat", "session": "s", "text": "Two."}]
    carry_out(desk, other, out, resume=True)
    assert results_of(out)[0]["result"]["question"] == "Two."
