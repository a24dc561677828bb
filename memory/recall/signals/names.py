"""BM25 of names that the first hits mention and the question does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from memagent.memory.recall.signals.base import Signal
from memagent.memory.recall.signals.candidates import Candidates, scaled
from memagent.types import Kind

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Names"]


class Names(Signal):
    """BM25 of names that the first hits mention and the question does not."""

    name = "names"
    weight: ClassVar[Mapping[Kind, float]] = {"document": 0.24}

    def compute(self, candidates: Candidates) -> np.ndarray:
        names = candidates.names[:, candidates.pool.rows]
        return scaled(names.max(0, initial=0.0))
