"""Reading the rows of a batch, and writing its results."""

import json
import resource
from pathlib import Path
from typing import Any

import pytest

from memagent.batch.results import Results
from memagent.batch.rows import Row, read_rows
from memagent.errors import InputError, UsageError
from tests.batch.batches import Rows, as_lines, conforms

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


def test_invalid_lines_are_reported_by_their_number() -> None:
    lines = [b'\xef\xbb\xbf{"id": 1, "op": "ask", "question": "Who?"}\n', b"\n", b"not json\n"]
    lines += [b'"\xff"\n', b"[" * 100_000 + b"\n", b"[1]\n"]
    lines += as_lines([{"id": 1, "op": "search", "query": "q"}])
    rows = list(read_rows(lines))
    assert [(row.line, row.id) for row in rows] == [(1, 1), *((n, None) for n in range(3, 8))]
    errors = [row.error or "" for row in rows[1:]]
    words = ("not JSON", "not UTF-8", "not JSON", "not an object", "used before")
    for number, (error, word) in enumerate(zip(errors, words, strict=True), start=3):
        assert f"line {number}" in error and word in error


def test_results_are_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text('{"id": 1, "op": "ask", "status": "ok", "result": {}}\n')
    with pytest.raises(UsageError, match="--resume"):
        Results(path, resume=False)
    with Results(path, resume=True), pytest.raises(UsageError, match="another batch"):
        Results(path, resume=True)
    path.write_text("my diary\n")
    with pytest.raises(UsageError, match=r"line 1 of .* is not a batch result"):
        Results(path, resume=True)
    assert path.read_text() == "my diary\n"
    with pytest.raises(UsageError, match="cannot be written"):
        Results(tmp_path, resume=False)
    with pytest.raises(UsageError, match="is not a regular file"):
        Results(Path("/dev/null"), resume=False)


def test_a_full_disk_leaves_whole_lines_to_resume_from(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
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
