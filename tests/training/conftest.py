"""The training modules, for the tests that use many of them."""

import importlib
from types import SimpleNamespace

import pytest

NAMES = (
    "blocks", "calibrate", "card", "choice", "cloze", "data", "lessons", "lm_card", "negatives",
    "questions", "reader", "reader_card", "sequences", "settings", "statements",
)  # fmt: skip


@pytest.fixture(scope="module")
def training() -> SimpleNamespace:
    """The modules by name."""
    return SimpleNamespace(
        **{name: importlib.import_module(f"memagent_bench.training.{name}") for name in NAMES}
    )
