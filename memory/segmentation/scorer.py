"""The surprise of each token of a text, and the interface of the scorers that compute it.

Anything that returns log-probabilities of prompt tokens can be a scorer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from memagent.errors import MemagentError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["AbsentScorer", "Score", "Scorer", "Surprise", "UnscoredError", "score"]


@dataclass(frozen=True, slots=True)
class Surprise:
    """The tokens of a text: character ranges int64 [n, 2] and -log p in nats, float32 [n].

    The ranges are in text order. Tokens that are parts of one character have the same range.
    """

    offsets: np.ndarray
    nats: np.ndarray


class Scorer(Protocol):
    """Computes the surprise of each token of a text, given the tokens before it."""

    @property
    def id(self) -> str:
        """Identifies the model and its version; part of the id of segmenters that use it."""

    def score(self, texts: Sequence[str]) -> list[Surprise]:
        """The surprise of each text, independent of the other texts."""


Score = Callable[[Scorer, str], Surprise]
"""Returns the surprise of a text, either computed by the scorer or read from storage."""


def score(scorer: Scorer, text: str) -> Surprise:
    """The surprise of a text, computed by the scorer."""
    return scorer.score([text])[0]


class UnscoredError(MemagentError):
    """The surprise of a text is needed, but it is not stored and its scorer is unavailable."""


@dataclass(frozen=True, slots=True)
class AbsentScorer:
    """Placeholder for a scorer that is unavailable, so that its stored results can be found."""

    id: str

    def score(self, texts: Sequence[str]) -> list[Surprise]:
        """Always raises UnscoredError."""
        raise UnscoredError(
            f"no surprise by {self.id} is stored for a text of {len(texts[0])} characters"
        )
