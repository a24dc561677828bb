"""Scripted batches: what rows do, in which order, and that each is done exactly once."""

import json
import resource
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

import memagent
from memagent.batch import Batch
from memagent.batch_results import Results
from memagent.batch_rows import Row, read_rows
from memagent.core import Request
from memagent.engines.base import Engine
from memagent.engines.scripted import Reply, ScriptedEngine
from memagent.errors import EngineError, InputError, StoreError, UsageError
from memagent.memory.batches import Batches
from memagent.memory.embed import Embedder
from memagent.settings import Settings
from memagent.workspace import Workspace

SCHEMAS = Path(memagent.__file__).parent / "schemas"
KEEPER = "The keeper of the lighthouse is Ansel Grubb. He has two dogs.\n"
Rows = Sequence[dict[str, Any] | bytes]


def conforms(schema: str, value: Any) -> bool:
    """Whether `value` is what the shipped schema describes."""
    named = {path.name: json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")}
    registry: Registry[Any] = Registry().with_resources(
        (name, Resource.from_contents(content)) for name, content in named.items()
    )
    return bool(Draft202012Validator(named[f"{schema}.json"], registry=registry).is_valid(value))


def as_lines(rows: Rows) -> list[bytes]:
    return [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]


class Desk(Workspace):
    """A workspace with an engine of the test's choice."""

    def __init__(self, settings: Settings, embedder: Embedder) -> None:
        super().__init__(settings, lambda line: None)
        self._embedder = embedder
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


def results_of(out: Path) -> list[dict[str, Any]]:
    values = [json.loads(line) for line in out.read_text().splitlines()]
    for value in values:
        assert conforms("batch_result", value), value
    return values


GOOD: Rows = [
    {"id": 1, "op": "add", "text": "Some text.", "name": "notes"},
    {"id": "a", "op": "add", "path": "notes.txt", "namespace": "work"},
    {"id": 2, "op": "add", "path": "notes.txt", "name": "other"},
    {"id": 3, "op": "ask", "question": "Who?", "since": "7d", "source": "notes"},
    {"id": 4, "op": "chat", "session": "s", "text": "Hello.", "time": "2025-01-02T03:04"},
    {"id": 5, "op": "search", "query": "dogs", "limit": 3, "until": "2025-01-01"},
    {"id": 6, "op": "forget", "source": "notes"},
    {"id": 7, "op": "forget", "source": "notes", "start": 0, "end": 4},
]
BAD: list[tuple[dict[str, Any], str]] = [
    ({"id": 1}, '"op" is one of'),
    ({"id": 1, "op": "shout"}, '"op" is one of'),
    ({"id": 1, "op": ["ask"]}, '"op" is one of'),
    ({"id": 1, "op": "ask"}, 'ask needs "question"'),
    ({"id": 1, "op": "ask", "question": ""}, '"question" is empty'),
    ({"id": 1, "op": "ask", "question": 7}, '"question" is text, not 7'),
    ({"id": 1, "op": "ask", "question": None}, '"question" is text, not null'),
    ({"id": 1, "op": "ask", "question": "Who?", "limit": 2}, "knows no field 'limit'"),
    ({"id": 1, "op": "add", "text": "no name"}, "add needs"),
    ({"id": 1, "op": "add", "text": "t", "name": "n", "path": "p"}, "add needs"),
    ({"id": 1, "op": "chat", "text": "no session"}, "chat needs"),
    ({"id": 1, "op": "search", "query": "q", "limit": 0}, '"limit" is too small'),
    ({"id": 1, "op": "search", "query": "q", "limit": True}, '"limit" is a whole number'),
    ({"id": 1, "op": "forget", "source": "s", "start": 3}, "forget needs"),
    ({"id": 1, "op": "forget", "source": "s", "start": -1, "end": 2}, '"start" is too small'),
    ({"op": "ask", "question": "Who?"}, 'has no "id"'),
    ({"id": None, "op": "ask", "question": "Who?"}, 'has no "id"'),
    ({"id": "", "op": "ask", "question": "Who?"}, 'has no "id"'),
    ({"id": 1.5, "op": "ask", "question": "Who?"}, 'has no "id"'),
]


def test_rows_that_are_right_have_no_error_and_fit_the_schema() -> None:
    assert [row.error for row in read_rows(as_lines(GOOD))] == [None] * len(GOOD)
    assert all(conforms("batch_row", row) for row in GOOD)


@pytest.mark.parametrize(("row", "says"), BAD, ids=[str(row) for row, _ in BAD])
def test_rows_that_are_wrong_say_what_is_and_break_the_schema(row: Any, says: str) -> None:
    (read,) = read_rows(as_lines([row]))
    assert read.error is not None and says in read.error
    assert not conforms("batch_row", row)


def test_lines_that_are_no_rows_are_told_by_their_number() -> None:
    lines = [b'\xef\xbb\xbf{"id": 1, "op": "ask", "question": "Who?"}\n', b"\n", b"not json\n"]
    lines += [b'"\xff"\n', b"[" * 100_000 + b"\n", b"[1]\n"]
    lines += as_lines([{"id": 1, "op": "search", "query": "q"}])
    rows = list(read_rows(lines))
    assert [(row.line, row.id) for row in rows] == [(1, 1), *((n, None) for n in range(3, 8))]
    errors = [row.error or "" for row in rows[1:]]
    words = ("not JSON", "not UTF-8", "not JSON", "not an object", "used before")
    for number, (error, word) in enumerate(zip(errors, words, strict=True), start=3):
        assert f"line {number}" in error and word in error


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
    assert KEEPER[cited["start"] : cited["end"]] == cited["text"]
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
def test_a_broken_store_ends_the_batch_without_a_result(
    desk: Desk, out: Path, concurrency: int
) -> None:
    desk.script(lambda request: StoreError("no room left"))
    rows: Rows = [{"id": 1, "op": "ask", "question": "Is it?"}]
    with pytest.raises(StoreError, match="no room left"):
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


def test_adding_waits_for_what_stands_before_it(desk: Desk, out: Path) -> None:
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
    roles = [turn.role for turn in memory.spans.of(memory.sources.get("s").id)]
    assert roles == ["user", "assistant"]


def test_an_answer_that_was_stopped_is_asked_again_and_its_part_withdrawn(
    desk: Desk, out: Path
) -> None:
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


def test_results_are_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text('{"id": 1, "op": "ask", "status": "ok", "result": {}}\n')
    with pytest.raises(UsageError, match="--resume"):
        Results(path, resume=False)
    with Results(path, resume=True), pytest.raises(UsageError, match="another batch"):
        Results(path, resume=True)
    path.write_text("my diary\n")
    with pytest.raises(UsageError, match=r"line 1 of .* is no result"):
        Results(path, resume=True)
    assert path.read_text() == "my diary\n"
    with pytest.raises(UsageError, match="cannot be written"):
        Results(tmp_path, resume=False)
    with pytest.raises(UsageError, match="no regular file"):
        Results(Path("/dev/null"), resume=False)


def test_a_disk_that_fills_leaves_whole_lines_to_go_on_from(out: Path) -> None:
    row, outcome = Row(1, 1, "ask"), {"status": "ok", "result": {}}
    size = len(json.dumps({"id": 1, "op": "ask", **outcome})) + 1
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Results(out, resume=False) as results:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))
        try:
            results.append(row, outcome)
            with pytest.raises(InputError, match="File too large"):
                results.append(Row(2, 2, "ask"), outcome)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with Results(out, resume=True) as results:
        assert results.has(row) and not results.has(Row(2, 2, "ask"))
    assert out.stat().st_size == size
