"""The loops benchmark reports lost evidence when a model marks the wrong sentence."""

import json
from pathlib import Path

import jsonschema
import pytest

import memagent_bench
from memagent.engines.scripted import Line, ScriptedEngine
from memagent.types import Request
from memagent_bench.measures.loops import WAYS, measure
from tests.conftest import Run

SCHEMA = Path(memagent_bench.__file__).parent / "schemas" / "bench.json"


@pytest.fixture
def conversation(tmp_path: Path) -> Path:
    """A file in LoCoMo's format, with two questions about its first and its last turn."""
    said = ["I planted the quinces behind the mill.", "I sold my boat.", "We saw a heron."]
    turns = [
        {"speaker": "Ada", "dia_id": f"D1:{n}", "text": text}
        for n, text in enumerate(said, start=1)
    ]
    qa = [
        {"question": "Where are the quinces?", "answer": "", "evidence": ["D1:1"], "category": 4},
        {"question": "What did they see?", "answer": "", "evidence": ["D1:3"], "category": 4},
    ]
    talk = {
        "speaker_a": "Ada",
        "speaker_b": "Bo",
        "session_1_date_time": "1:56 pm on 3 May, 2023",
        "session_1": turns,
    }
    path = tmp_path / "conversation.json"
    path.write_text(json.dumps([{"sample_id": "c-1", "conversation": talk, "qa": qa}]))
    return path


def test_citations_of_a_model_refer_to_its_evidence(conversation: Path) -> None:
    def reply(request: Request) -> Line:
        # Always the first sentence that is shown.
        return Line('{"points": [{"heading": "It", "first": 1, "last": 1}]}', uncertainty=1.0)

    report = measure(ScriptedEngine(reply), conversation)
    rows = {row["way"]: row for row in report.rows}
    assert list(rows) == list(WAYS)
    assert rows["one call"]["coverage"] == 1.0
    assert rows["one call"]["gain"] == 0.0
    assert rows["outline"]["coverage"] == 0.5
    assert rows["outline"]["gain"] == report.metrics["outline_gain"] == -0.5
    assert rows["outline"]["evidence_tokens"] < rows["one call"]["evidence_tokens"]
    assert rows["further questions"]["prompt_tokens"] > rows["one call"]["prompt_tokens"]


def test_the_program_reports_in_the_form_of_every_bench(run: Run, conversation: Path) -> None:
    done = run("bench", "loops", "--engine", "scripted", "--data", conversation, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    jsonschema.validate(report, json.loads(SCHEMA.read_text()))
    assert report["bench"] == "loops"
    refused = run("bench", "loops", "--engine", "scripted", "--data", "absent.json")
    assert refused.returncode != 0
    assert refused.stderr.count("\n") == 1
