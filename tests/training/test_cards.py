"""The cards of the bundled models agree with their training reports."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from memagent.models.bundled import pocket_reader

CARDS = Path(__file__).parents[2] / "docs" / "models"


@pytest.mark.parametrize(
    ("name", "module"),
    [("lm", "lm_card"), ("lm-landmark", "lm_card"), ("reader", "reader_card")],
)
def test_a_card_holds_the_figures_of_its_report(
    training: SimpleNamespace, name: str, module: str
) -> None:
    report = json.loads((CARDS / f"pocket-{name}.json").read_text())
    text = (CARDS / f"pocket-{name}.md").read_text()
    assert training.card.fill(text, getattr(training, module).table(report)) == text


def test_the_bundled_reader_has_the_scale_of_its_report() -> None:
    report = json.loads((CARDS / "pocket-reader.json").read_text())
    config = json.loads((pocket_reader() / "config.json").read_text())
    assert config["least"] == report["least_confidence"]
    assert config["slope"] == report["slope"]
