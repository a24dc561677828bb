"""How surprising text is, token by token: what a scorer of it gives.

Knows nothing of models and stores. Whatever gives log-probabilities of a prompt can be a scorer.
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


Score = Callable[[Scorer, str], Surprise]
"""Gets the surprise of a text by a scorer: from the scorer, or from where it was kept."""


def score(scorer: Scorer, text: str) -> Surprise:
    """The surprise of a text from the scorer itself."""
    return scorer.score([text])[0]


class UnscoredError(MemagentError):
    """The surprise of a text is needed, and its scorer is not at hand."""


@dataclass(frozen=True, slots=True)
class AbsentScorer:
    """A scorer of which no more than the id is at hand: it stands for what it once scored."""

    id: str

    def score(self, texts: Sequence[str]) -> list[Surprise]:
        """Raises UnscoredError: whoever asks has not kept the surprise."""
        raise UnscoredError(f"no surprise by {self.id} is stored for a text of {len(texts[0])}")
