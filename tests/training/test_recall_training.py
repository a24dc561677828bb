"""Fitting the weights of recall: the command on two small conversations."""

import json
import subprocess
import sys
from pathlib import Path

from memagent.memory.recall.ranker import weights_by_kind

TRAINING = Path(__file__).parents[2] / "benchmarks/memagent_bench/training"
SAID = (
    ("Ada", "I planted quinces behind the mill."),
    ("Bo", "My brother repairs clocks in Perrin."),
    ("Ada", "I sold the boat to a dentist."),
    ("Bo", "We saw a heron at the weir."),
    ("Ada", "Good for you."),
    ("Bo", "Is it far?"),
)
ASKED = (
    ("Where did Ada plant quinces?", 1),
    ("What does Bo's brother repair?", 2),
    ("Who bought Ada's boat?", 3),
    ("Which bird did Bo see?", 4),
)


def conversations() -> list[dict[str, object]]:
    said = [
        {"speaker": speaker, "dia_id": f"D1:{place}", "text": text}
        for place, (speaker, text) in enumerate(SAID, start=1)
    ]
    conversation = {"session_1": said, "session_1_date_time": "1:56 pm on 8 May, 2023"}
    qa = [
        {"question": question, "answer": "", "evidence": [f"D1:{place}"], "category": 4}
        for question, place in ASKED
    ]
    return [{"sample_id": name, "conversation": conversation, "qa": qa} for name in ("a", "b")]


def test_the_report_has_weights_and_what_they_do_held_out(tmp_path: Path) -> None:
    data, report = tmp_path / "said.json", tmp_path / "report.json"
    data.write_text(json.dumps(conversations()))
    done = subprocess.run(
        [sys.executable, TRAINING / "recall.py", "--data", data, "--report", report],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(report.read_text())
    assert set(found) == {"session"}
    assert set(found["session"]["weights"]) == set(weights_by_kind()["session"])
    assert found["session"]["questions"] == 8
    assert found["session"]["held_out"]["locomo"]["@7000"] == 1
    assert set(found["session"]["without"]) == set(weights_by_kind()["session"])
    # What was said of the question's own matter is evidence here: its words weigh something.
    assert found["session"]["weights"]["tokens"] > 0
