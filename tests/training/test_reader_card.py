"""The card of the bundled reader says what the report of its training says."""

import importlib.util
import json
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_card_holds_the_figures_of_the_reports() -> None:
    spec = importlib.util.spec_from_file_location(
        "reader_card", ROOT / "training" / "reader_card.py"
    )
    assert spec is not None
    assert spec.loader is not None
    card = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(card)
    folder = ROOT / "docs" / "models"
    reports = json.loads((folder / "pocket-reader.json").read_text())
    text = (folder / "pocket-reader.md").read_text()
    assert card.fill(text, reports) == text
    config = json.loads((ROOT / "memagent/models/pocket_reader/config.json").read_text())
    assert config["least"] == reports[-1]["least_confidence"]
    assert config["slope"] == reports[-1]["slope"]
