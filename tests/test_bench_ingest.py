"""The ingest benchmark, on a small text."""

import json
import lzma
from pathlib import Path

import jsonschema
import pytest

import memagent_bench
from tests.conftest import Run

SCHEMA = json.loads((Path(memagent_bench.__file__).parent / "schemas" / "bench.json").read_text())
STAGES = {"store", "surprise", "segmentation", "embedding", "index"}


def test_it_reports_every_stage(run: Run, tmp_path: Path) -> None:
    done = run("bench", "ingest", "--limit", "1500", "--json", "--out", tmp_path / "results")
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    jsonschema.validate(value, SCHEMA)
    assert json.loads((tmp_path / "results" / "ingest.json").read_text()) == value
    assert value["metrics"]["words"] == 1500
    assert value["metrics"]["seconds@100000"] > value["metrics"]["total_s"]
    assert {row["stage"] for row in value["rows"]} == STAGES
    assert all(number > 0 for number in value["metrics"].values())
    assert not list(tmp_path.glob("memagent-bench-*"))


def test_books_are_joined_up_to_the_limit(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "books.jsonl.xz"
    books = [
        {"title": str(n), "text": f"This is book {n}.\r\n\r\nIt ends. " * 40} for n in range(3)
    ]
    path.write_bytes(lzma.compress("\n".join(map(json.dumps, books)).encode()))
    done = run("bench", "ingest", "--data", path, "--limit", "500", "--json")
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    assert (value["metrics"]["words"], value["data"]["file"]) == (500, "books.jsonl.xz")


@pytest.mark.parametrize("name", ["missing.txt", "empty.txt", "broken.jsonl.xz"])
def test_a_file_that_is_no_text_is_one_line(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "broken.jsonl.xz").write_bytes(b"\xfd7zXZ\x00 and no more")
    done = run("bench", "ingest", "--data", tmp_path / name)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("memagent: ")
    assert done.stderr.count("\n") == 1
