"""Where the bundled models lie. Knows nothing of how they are loaded or what they are for."""

from __future__ import annotations

from pathlib import Path

__all__ = ["pocket_lm"]


def pocket_lm() -> Path:
    """The folder of the pocket language model, for `from_pretrained`."""
    return Path(__file__).parent / "pocket_lm"
