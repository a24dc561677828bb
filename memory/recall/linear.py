"""How much each sign weighs: a linear score, fitted by `training/recall.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

__all__ = ["WEIGHTS", "weighed"]

# By the kind of the source: who speaks and when tells of turns, what stands around of documents.
WEIGHTS = {
    "session": {
        "words around": 0.46,
        "meaning around": 0.39,
        "own words around": 0.5,
        "tokens": 0.63,
        "stretch": 0.1,
        "source": 0.2,
        "speaker": 1.26,
        "when": 4.25,
        "time": 0.44,
        "question": -0.71,
    },
    "document": {
        "words around": 0.75,
        "meaning around": 0.5,
        "stretch": 0.32,
        "names": 0.25,
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
