"""The modules of training/, which is no package, for the tests of them."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

FOLDER = Path(__file__).parents[2] / "training"
NAMES = (
    "blocks", "calibrate", "card", "choice", "cloze", "data", "lessons", "lm_card", "negatives",
    "questions", "reader", "reader_card", "sequences", "settings", "statements",
)  # fmt: skip


@pytest.fixture(scope="module")
def training() -> Iterator[SimpleNamespace]:
    """They are imported by their bare names, as the commands do, and forgotten afterwards."""
    sys.path.insert(0, str(FOLDER))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
    finally:
        sys.path.remove(str(FOLDER))
        for name in NAMES:
            sys.modules.pop(name, None)
