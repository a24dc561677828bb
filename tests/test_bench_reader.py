"""The reader benchmark on a small question set, and its errors."""

import json
from pathlib import Path

import jsonschema
import pytest

import memagent_bench
from memagent.engines.pocket.reader import Found, Reader
from memagent_bench.measures import reader as bench
from memagent_bench.report import CheckError
from tests.conftest import Run

SCHEMA = Path(memagent_bench.__file__).parent / "schemas" / "bench.json"
TOWNS = (
    "Ostrava",
    "Lindholm",
    "Perrin",
    "Calder",
    "Mosul",
    "Tarn",
    "Vigo",
    "Elgin",
    "Brno",
    "Kiel",
)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Ten articles, each with a question that its own paragraph alone answers."""
    articles = []
    for number, town in enumerate(TOWNS):
        passage = f"The harbour of {town} was built in {1800 + number}. It has {number + 2} piers."
        answer = {"text": str(1800 + number), "answer_start": passage.index("18")}
        asked = {"id": town, "question": f"When was {town} harbour built?", "answers": [answer]}
        articles.append({"title": town, "paragraphs": [{"context": passage, "qas": [asked]}]})
    path = tmp_path / "small.json"
    path.write_text(json.dumps({"data": articles}))
    return path


def test_the_report_has_its_figures_beside_the_baseline(run: Run, small: Path) -> None:
    result = run("bench", "reader", "--data", small, "--json")
    assert result.returncode == 0, result.stderr
    value = json.loads(result.stdout)
    jsonschema.validate(value, json.loads(SCHEMA.read_text()))
    metrics = value["metrics"]
    assert metrics["f1"] == metrics["f1_xquad"] > 0.8 > metrics["baseline_f1"] > 0
    assert 0 < metrics["em"] <= metrics["f1"]
    assert 0 <= metrics["no_answer_accuracy"] <= 1
    assert 0 <= metrics["citation_precision"] <= 1
    assert metrics["ms_per_passage"] > 0
    answers = [row for row in value["rows"] if row["measure"] == "answers"]
    assert [(row["way"], row["questions"]) for row in answers] == [
        ("reader", 10),
        ("best sentence", 10),
    ]


def test_files_that_are_no_data_set_end_with_one_line(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("nothing")
    result = run("bench", "reader", "--data", path)
    assert result.returncode != 0
    assert "holds no questions" in result.stderr
    assert "Traceback" not in result.stderr


def test_too_few_passages_are_reported(small: Path) -> None:
    value = json.loads(small.read_text())
    small.write_text(json.dumps({"data": value["data"][:1]}))
    with pytest.raises(bench.InputError, match="too few passages"):
        bench.measure([small], tell=lambda line: None)


def test_a_reader_that_cites_no_words_stops_the_bench(
    monkeypatch: pytest.MonkeyPatch, small: Path
) -> None:
    monkeypatch.setattr(Reader, "read", lambda *_: [Found(0, 3, 4, 9.0, 0.9)])
    with pytest.raises(CheckError, match="not a run of words"):
        bench.measure([small], limit=1, tell=lambda line: None)
