"""Dense search: the vector index, synchronised with the store at each search."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from memagent.memory.index.vector_index import IndexState, VectorIndex
from memagent.memory.store.vectors import Vectors

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Dense", "Joined"]


class Dense:
    """Search by inner product of unit vectors.

    `lock` is held while the index is synchronised and searched.
    """

    name = "dense"

    def __init__(self, vectors: Vectors, index: VectorIndex, lock: threading.RLock) -> None:
        self.vectors = vectors
        self.index = index
        self._lock = lock

    def sync(self) -> None:
        """Update the index with the stored vectors, rebuilding it if necessary."""
        with self._lock:
            count, through, saved = self.vectors.size()
            state = IndexState(self.vectors.epoch(), count, through, saved)
            self.index.sync(state, self.vectors.after)

    def search(
        self, vector: np.ndarray, depth: int, allowed: Sequence[int] | None
    ) -> list[tuple[int, float]]:
        """Up to `depth` (event id, cosine) of the allowed events, best first; None allows all."""
        import numpy as np

        chosen = None if allowed is None else np.array(allowed, dtype=np.int64)
        with self._lock:
            self.sync()
            return self.index.search(vector, depth, chosen)

    def vectors_of(self, ids: np.ndarray) -> np.ndarray:
        """The vectors of events int64 [n], float32 [n, dim]; zeros for unknown ids."""
        with self._lock:
            return self.index.vectors(ids)


class Joined(Dense):
    """The vectors of two namespaces, searched as if they belonged to one."""

    def __init__(self, first: Dense, second: Dense) -> None:
        super().__init__(first.vectors, first.index, first._lock)
        self.parts = (first, second)

    def sync(self) -> None:
        for part in self.parts:
            part.sync()

    def search(
        self, vector: np.ndarray, depth: int, allowed: Sequence[int] | None
    ) -> list[tuple[int, float]]:
        found = [hit for part in self.parts for hit in part.search(vector, depth, allowed)]
        return sorted(found, key=lambda hit: -hit[1])[:depth]

    def vectors_of(self, ids: np.ndarray) -> np.ndarray:
        found: np.ndarray = self.parts[0].vectors_of(ids) + self.parts[1].vectors_of(ids)
        return found
