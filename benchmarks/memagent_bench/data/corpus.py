"""Generate text of any length: sentences and paragraphs of words with a Zipf distribution.

Frequent words come from the topics of Python's `help`; rare ones join two of those. Clustered
vectors replace embeddings. Knows nothing of stores.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from memagent.types import Piece
from memagent_bench.report import sha256_of

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Corpus", "source_data"]

_WORDS = 60_000
_CLUSTERS = 512
_PIECE = 4000  # characters


def source_data() -> dict[str, str]:
    """Name and hash of the file that the words come from."""
    import pydoc_data.topics

    path = Path(str(pydoc_data.topics.__file__))
    return {"file": "pydoc_data/topics.py", "sha256": sha256_of(path)}


class Corpus:
    """An endless text and endless vectors, generated from a seed."""

    def __init__(self, seed: int, dim: int) -> None:
        import numpy as np

        self.dim = dim
        self.random = np.random.default_rng(seed)
        self.words = _vocabulary(self.random)
        # Zipf's law with Mandelbrot's shift, as measured on English prose.
        weights = 1.0 / (np.arange(len(self.words)) + 2.7)
        self._ends = np.cumsum(weights / weights.sum())
        self._centres = self._unit((_CLUSTERS, dim))

    def pieces(self, count: int) -> list[Piece]:
        """Pieces of about 4,000 characters each."""
        return [Piece(self._piece()) for _ in range(count)]

    def vectors(self, count: int) -> np.ndarray:
        """Unit vectors [count, dim] around the centres of clusters, float32."""

        centres = self._centres[self.random.integers(0, _CLUSTERS, count)]
        return self.near(centres, spread=1.0)

    def near(self, vectors: np.ndarray, spread: float) -> np.ndarray:
        """Unit vectors [n, dim] near the given ones; with spread 1 the cosine is about 0.7."""
        import numpy as np

        moved = vectors + spread * self._unit(vectors.shape)
        unit: np.ndarray = moved / np.linalg.norm(moved, axis=1, keepdims=True)
        return unit.astype(np.float32)

    def question(self, text: str) -> str:
        """A question with two to six words of `text`."""
        words = re.findall(r"\w+", text)
        count = int(self.random.integers(2, 7))
        chosen = self.random.choice(words, size=min(count, len(words)), replace=False)
        return f"what does it say about {' '.join(chosen)}?"

    def _unit(self, shape: tuple[int, ...]) -> np.ndarray:
        import numpy as np

        drawn = self.random.standard_normal(shape, dtype=np.float32)
        unit: np.ndarray = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
        return unit

    def _piece(self) -> str:
        import numpy as np

        ranks = np.searchsorted(self._ends, self.random.random(_PIECE // 5))
        lengths = iter(self.random.integers(5, 28, _PIECE))
        breaks = iter(self.random.random(_PIECE) < 0.2)
        parts, start, size = list[str](), 0, 0
        while start < len(ranks) and size < _PIECE:
            end = start + int(next(lengths))
            sentence = " ".join(self.words[rank] for rank in ranks[start:end]).capitalize()
            parts.append(sentence + (".\n\n" if next(breaks) else ". "))
            start, size = end, size + len(parts[-1])
        return "".join(parts).rstrip() + "\n\n"


def _vocabulary(random: np.random.Generator) -> list[str]:
    """Words by decreasing frequency: those of the topics, then pairs of them."""
    from pydoc_data.topics import topics

    counted = Counter(re.findall(r"[a-z]{1,20}", "\n".join(topics.values()).lower()))
    words = [word for word, _ in counted.most_common()]
    known = dict.fromkeys(words)
    while len(known) < _WORDS:
        first, second = random.integers(20, len(words), 2)
        known.setdefault(words[first] + words[second])
    return list(known)
