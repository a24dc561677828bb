"""How much each sign weighs: a linear score, fitted by `training/recall.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

__all__ = ["WEIGHTS", "score"]

WEIGHTS = {
    "words around": 0.76,
    "meaning around": 0.34,
    "own words": 0.45,
    "own words around": 0.43,
    "source": 0.19,
    "speaker": 1.3,
    "when": 4.69,
    "time": 0.75,
    "question": -0.98,
}


def score(found: Mapping[str, np.ndarray]) -> np.ndarray:
    """The sum of the signs [m], each times its weight: a logit, to be compared with others of the
    same question."""
    import numpy as np

    summed: np.ndarray = np.sum([WEIGHTS[name] * found[name] for name in WEIGHTS], axis=0)
    return summed
