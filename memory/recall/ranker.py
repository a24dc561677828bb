"""Weights of the recall signals: a linear score, fitted by `memagent_bench.training.recall`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

__all__ = ["WEIGHTS", "weighed"]

# By the kind of the source: who speaks and when tells of turns, what stands around of documents.
WEIGHTS = {
    "session": {
        "words around": 0.44,
        "meaning around": 0.32,
        "own words around": 0.48,
        "tokens": 0.65,
        "stretch": 0.12,
        "source": 0.15,
        "speaker": 1.28,
        "when": 4.24,
        "time": 0.46,
        "question": -0.7,
    },
    "document": {
        "words around": 0.95,
        "meaning around": 0.52,
        "stretch": 0.24,
        "names": 0.24,
    },
}


def weighed(found: Mapping[str, np.ndarray], kinds: Sequence[str]) -> dict[str, np.ndarray]:
    """Each sign [m] times its weight in a source of that kind. Their sum is a logit, to be compared
    with others of the same question."""
    import numpy as np

    of_kind = {kind: np.array([each == kind for each in kinds]) for kind in WEIGHTS}
    return {
        name: values * sum(WEIGHTS[kind].get(name, 0.0) * rows for kind, rows in of_kind.items())
        for name, values in found.items()
    }
