"""A deterministic embedder that hashes words, for tests and examples without a model."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from memagent.memory.index.embedder import Reading

if TYPE_CHECKING:
    import numpy as np

__all__ = ["FakeEmbedder"]

_WORD = re.compile(r"\w+")


class FakeEmbedder:
    """Embeds texts by feature hashing of their lower-case words.

    Texts that share words have similar vectors, but meaning is ignored. The method is from
    "Feature Hashing for Large Scale Multitask Learning", Weinberger et al., ICML 2009.
    """

    name = "fake"
    id = "fake-1"
    dim = 128
    max_tokens = 512

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """The unit vectors of `texts`: float32 [len(texts), dim]."""
        import numpy as np

        vectors = [reading.vector for reading in self.read(texts)]
        return np.stack(vectors) if vectors else np.zeros((0, self.dim), dtype=np.float32)

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """The vectors of `texts` and of their words."""
        import numpy as np

        found = []
        for text in texts:
            # A text without words gets the vector of the empty word.
            digests = [_digest(word) for word in _WORD.findall(text.lower())] or [_digest("")]
            ids = np.array([digest >> 1 for digest in digests], dtype=np.int64)
            tokens = np.zeros((len(digests), self.dim), dtype=np.float32)
            tokens[np.arange(len(digests)), ids % self.dim] = [1 - 2 * (d & 1) for d in digests]
            total = tokens.sum(0)
            norm = np.linalg.norm(total)
            vector = total / norm if norm > 0 else tokens[0]
            found.append(Reading(vector.astype(np.float32), ids, tokens))
        return found


def _digest(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=7).digest())
