"""How surprising text is, token by token: what a scorer of it gives.

Knows nothing of models. Whatever gives log-probabilities of a prompt can be a scorer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Scorer", "Surprise"]


@dataclass(frozen=True, slots=True)
class Surprise:
    """The tokens of a text: character ranges int64 [n, 2], and -log p in nats, float32 [n].

    Ranges are in order; tokens that share a character (a byte each, say) have the same one.
    """

    offsets: np.ndarray
    nats: np.ndarray


class Scorer(Protocol):
    """A way to tell how surprising each token of a text is behind those before it."""

    @property
    def id(self) -> str:
        """Names the model and its state; part of the identity of what is cut by it."""

    def score(self, texts: Sequence[str]) -> list[Surprise]:
        """The surprise of every text. That of one text does not depend on the others."""
