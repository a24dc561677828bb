"""The candidate events of one question, with everything that signals are computed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from memagent.memory.recall.language.dates import Days
from memagent.memory.recall.pool import Pool

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Candidates", "Rankings", "rough_scores", "scaled"]

# Event ids per channel, best first.
Rankings = Mapping[str, Sequence[int]]

# Weights of the events at distance 1 and 2 from a candidate, for BM25 scores and for vectors.
_WORD_WEIGHTS = (0.7, 0.5)
_VECTOR_WEIGHTS = (0.7, 0.5)


@dataclass(frozen=True, eq=False)
class Candidates:
    """A pool of n events, m of which are candidates, and what was looked up about them.

    `rankings` is what each channel found. `words` [word, n] holds the BM25 score of each word of
    the question, `names` [word, n] that of each word of the names in the first hits. `vectors` is
    [n, dim]. `tokens` [token, m] says how well each token of the question is matched, nan where
    that is unknown. `asked` and `in_first_person` [dim] are the vectors of the question as asked,
    and as the speakers that it names would put it. `named_speakers` are these speakers, `days` the
    days that the question names.
    """

    rankings: Rankings
    pool: Pool
    words: np.ndarray
    names: np.ndarray
    vectors: np.ndarray
    tokens: np.ndarray | None
    asked: np.ndarray
    in_first_person: np.ndarray
    named_speakers: Set[str]
    days: Sequence[Days]

    @cached_property
    def words_around(self) -> np.ndarray:
        """How well each candidate and the events around it match the question's words: [m]."""
        return _words_around(self.pool, self.words)

    @cached_property
    def vectors_around(self) -> np.ndarray:
        """Each candidate's vector mixed with those of the events around, unit length: [m, dim]."""
        import numpy as np

        around = self.pool.spread(self.vectors, _VECTOR_WEIGHTS, np.add)
        length = np.linalg.norm(around, axis=1, keepdims=True)
        unit: np.ndarray = around / np.maximum(length, 1e-9)
        return unit

    @cached_property
    def similarity(self) -> np.ndarray:
        """Similarity of each candidate's vector to the question in first person, scaled: [m]."""
        return scaled(self.vectors[self.pool.rows] @ self.in_first_person)


def scaled(score: np.ndarray) -> np.ndarray:
    """Scores [m] as standard deviations from their mean."""
    found: np.ndarray = (score - score.mean()) / (score.std() + 1e-6)
    return found


def rough_scores(pool: Pool, words: np.ndarray, similarity: np.ndarray) -> np.ndarray:
    """Scores [m] that need no event's text, from `words` [word, n] and `similarity` [n]."""
    import numpy as np

    around = scaled(pool.spread(similarity, _VECTOR_WEIGHTS, np.add))
    score: np.ndarray = around + scaled(_words_around(pool, words))
    return score


def _words_around(pool: Pool, words: np.ndarray) -> np.ndarray:
    import numpy as np

    matched: np.ndarray = np.log1p(pool.spread(words.T, _WORD_WEIGHTS, np.maximum).sum(1))
    return matched
