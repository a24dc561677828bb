"""The folders of the bundled models."""

from __future__ import annotations

from pathlib import Path

__all__ = ["pocket_lm", "pocket_lm_landmark", "pocket_reader"]


def pocket_lm() -> Path:
    """The folder of the pocket language model, for `from_pretrained`."""
    return Path(__file__).parent / "pocket_lm"


def pocket_lm_landmark() -> Path:
    """The folder of the pocket language model fine-tuned for landmark attention."""
    return Path(__file__).parent / "pocket_lm_landmark"


def pocket_reader() -> Path:
    """The folder of the span reader's weights, for `memagent.engines.pocket`."""
    return Path(__file__).parent / "pocket_reader"
