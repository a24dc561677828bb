"""How well the tokens of a turn match those of the question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from memagent.memory.recall.signals.base import Signal
from memagent.memory.recall.signals.candidates import Candidates, scaled
from memagent.types import Kind

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Tokens"]


class Tokens(Signal):
    """How well the tokens of a turn match those of the question (late interaction).

    Each token of the question is scaled before the mean is taken, so that a token that every event
    matches counts for nothing. Where no token codes are stored, similarity is used instead.
    ColBERT, https://arxiv.org/abs/2004.12832.
    """

    name = "tokens"
    weight: ClassVar[Mapping[Kind, float]] = {"session": 0.65}

    def compute(self, candidates: Candidates) -> np.ndarray:
        import numpy as np

        tokens, similarity = candidates.tokens, candidates.similarity
        if tokens is None or not len(tokens):
            return similarity
        known = ~np.isnan(tokens).any(0)
        found = similarity.copy()
        if known.any():
            found[known] = scaled(np.mean([scaled(row) for row in tokens[:, known]], axis=0))
        return found
