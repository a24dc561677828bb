"""Benchmark reports, and the store benchmark on a small store."""

import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import memagent_bench
from memagent.errors import InputError
from memagent_bench.data.corpus import Corpus, source_data
from memagent_bench.report import Report, percentile, save
from tests.conftest import Run

SCHEMA = json.loads((Path(memagent_bench.__file__).parent / "schemas" / "bench.json").read_text())
RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"


def test_the_bench_of_the_store_reports_its_figures(run: Run, tmp_path: Path) -> None:
    done = run("bench", "store", "--events", "1200", "--json", "--out", tmp_path / "results")
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    jsonschema.validate(value, SCHEMA)
    assert json.loads((tmp_path / "results" / "store.json").read_text()) == value
    names = {"append_p50_ms", "append_p95_ms", "help_s", "bytes_per_byte"}
    names |= {f"{name}@{size}" for name in ("query_p95_ms", "recall10") for size in (1000, 1200)}
    assert set(value["metrics"]) == names
    assert all(number > 0 for number in value["metrics"].values())
    assert [row["events"] >= size for row, size in zip(value["rows"], (1000, 1200), strict=True)]
    assert not list(tmp_path.glob("memagent-bench-*"))


def test_the_commit_names_the_checkout() -> None:
    commit = Report("x", source_data(), {"n": 1}, []).as_object()["commit"]
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (commit or "").removesuffix("-dirty") == head.stdout.strip()


def test_a_report_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose --out"):
        save({"bench": "store"}, tmp_path / "file")


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert (percentile(values, 0.5), percentile(values, 0.95)) == (50.0, 95.0)
    assert percentile([3.0], 0.95) == percentile([3.0], 0.5) == 3.0


def test_the_same_seed_makes_the_same_text() -> None:
    one, other = Corpus(1, 8), Corpus(1, 8)
    assert one.pieces(3) == other.pieces(3)
    assert (one.vectors(5) == other.vectors(5)).all()
    assert one.pieces(1) != Corpus(2, 8).pieces(1)
    near = (one.vectors(200) ** 2).sum(axis=1)
    assert abs(near - 1).max() < 1e-5


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_results_that_are_kept_fit_the_schema(path: Path) -> None:
    value: dict[str, Any] = json.loads(path.read_text())
    jsonschema.validate(value, SCHEMA)
    assert value["bench"] == path.stem
