"""Superseded statements and `--as-of` through the command line."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.batch.batches import conforms, results_of
from tests.conftest import PROGRAM, Run

ROWS: list[dict[str, Any]] = [
    {
        "op": "chat",
        "session": "first",
        "text": "The gate code is 4711. My dog is called Rex.",
        "time": "2026-01-05T10:00:00+00:00",
    },
    {
        "op": "chat",
        "session": "second",
        "text": "Oh, the gate code changed to 9200.",
        "time": "2026-05-01T10:00:00+00:00",
    },
]
CODE = "What is the gate code?"


def batch(run: Run, folder: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    lines = [json.dumps({"id": number, **row}) for number, row in enumerate(rows)]
    (folder / "rows.jsonl").write_text("\n".join(lines))
    done = run("run", "rows.jsonl", "--out", "results.jsonl")
    assert done.returncode == 0, done.stderr
    results = sorted(results_of(folder / "results.jsonl"), key=lambda row: row["id"])
    (folder / "results.jsonl").unlink()
    return [row["result"] for row in results]


@pytest.fixture
def told(run: Run, tmp_path: Path) -> Run:
    """A store in which the code of a gate changed."""
    batch(run, tmp_path, ROWS)
    return run


def test_the_answer_is_the_newer_statement_unless_the_past_is_asked_for(told: Run) -> None:
    now = told("ask", CODE)
    assert now.stdout.startswith("9200\n")
    assert "superseded" not in now.stderr
    past = told("ask", "What was the gate code before?", "--explain")
    assert past.stdout.startswith("4711\n")
    assert "superseded on 2026-05-01" in past.stderr


def test_as_of_a_day_counts_what_was_known_then(told: Run) -> None:
    assert told("ask", "--as-of", "2026-03-01", CODE).stdout.startswith("4711\n")
    assert told("ask", "--as-of", "2026-04-30", CODE).stdout.startswith("4711\n")
    # A day counts to its end.
    assert told("ask", "--as-of", "2026-05-02", CODE).stdout.startswith("9200\n")
    assert told("ask", "--as-of", "2026-05-01T09:59+00:00", CODE).stdout.startswith("4711\n")
    assert told("chat", "--as-of", "2026-03-01", stdin=CODE).stdout.startswith("4711\n")


def test_before_anything_was_stored_there_is_no_answer(told: Run) -> None:
    asked = told("ask", "--as-of", "2025-01-01", CODE)
    assert asked.stdout.startswith("Not in memory")
    assert asked.returncode == 0
    searched = told("search", "--as-of", "2025-01-01", "gate")
    assert searched.stdout == ""
    assert "nothing in memory that was known then matches" in searched.stderr
    wrong = told("search", "--as-of", "2026-13-01", "gate")
    assert wrong.returncode == 2
    assert "is no time" in wrong.stderr


def test_intervals_of_validity_are_shown(told: Run) -> None:
    january, may = (f"2026-{day}T10:00:00.000000+00:00" for day in ("01-05", "05-01"))
    answer = json.loads(told("ask", "--json", "--explain", "What was the gate code?").stdout)
    assert conforms("answer", answer)
    cited = answer["citations"][0]
    assert (cited["text"], cited["valid_from"], cited["valid_until"]) == (
        "The gate code is 4711.",
        january,
        may,
    )
    found = json.loads(told("search", "--json", "--explain", "gate code").stdout)
    assert conforms("search", found)
    newer, older = found["hits"]
    assert newer["valid"] == [{"start": 4, "end": 33, "from": may, "until": None}]
    assert older["valid"] == [{"start": 0, "end": 21, "from": january, "until": may}]
    shown = told("search", "gate code", "--explain")
    assert "in part superseded on 2026-05-01" in shown.stdout
    assert "valid 2026-01-05 to 2026-05-01" in shown.stderr
    assert "valid 2026-05-01 to now" in shown.stderr
    before = json.loads(told("search", "--json", "--as-of", "2026-03-01", "gate code").stdout)
    assert [hit["valid"] for hit in before["hits"]] == [[]]


def test_rows_of_a_batch_may_have_as_of(told: Run, tmp_path: Path) -> None:
    asked, searched = batch(
        told,
        tmp_path,
        [
            {"op": "ask", "question": CODE, "as_of": "2026-03-01"},
            {"op": "search", "query": "gate", "as_of": "2026-03-01"},
        ],
    )
    assert asked["text"].startswith("4711\n")
    assert [hit["source"] for hit in searched["hits"]] == ["first"]


def test_forgetting_the_newer_statement_makes_the_older_valid_again(told: Run) -> None:
    assert told("memory", "forget", "second", "--yes").returncode == 0
    answer = json.loads(told("ask", "--json", CODE).stdout)
    assert answer["text"].startswith("4711\n")
    assert answer["citations"][0]["valid_until"] is None


def test_relative_words_count_from_the_moment(told: Run) -> None:
    found = json.loads(
        told(
            "search", "--json", "--explain", "--as-of", "2026-01-06", "what was said yesterday"
        ).stdout
    )
    assert found["explain"]["channels"]["dated"] > 0
    assert found["explain"]["chosen"][0]["why"]["when"] > 0


def test_two_processes_search_the_version_of_that_day(
    run: Run, env: dict[str, str], tmp_path: Path
) -> None:
    plan = tmp_path / "plan.txt"
    plan.write_text("The budget of the tower is 40 million.")
    assert run("add", "plan.txt").returncode == 0
    moment = json.loads(run("search", "--json", "tower").stdout)["hits"][0]["time"]
    plan.write_text("The budget of the tower is 60 million.")
    assert run("add", "plan.txt").returncode == 0
    assert run("ask", "What is the budget of the tower?").stdout.startswith("60 million")
    both = [
        subprocess.Popen(
            [PROGRAM, "ask", "--as-of", moment, *only, "What is the budget of the tower?"],
            env=env,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for only in ((), ("--source", "plan.txt"))
    ]
    for process in both:
        out, said = process.communicate(timeout=300)
        assert out.startswith("40 million"), said
    assert run("ask", "What is the budget of the tower?").stdout.startswith("60 million")
    assert "earlier" not in run("memory", "list", "--namespaces").stdout
