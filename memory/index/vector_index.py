"""A vector index that is synchronised with the store; the store is authoritative.

This module decides when an index file is valid and when it must be rebuilt. Searching is in
`nearest.py`, the file format in `file.py`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from memagent.memory.index.file import DamagedError, Header, read, write
from memagent.memory.index.nearest import FLAT_LIMIT, Kind, Nearest, has_gpu

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Fetch", "IndexState", "VectorIndex", "measure_recall"]

logger = logging.getLogger(__name__)

# Takes an id and yields the store's vectors with higher ids, in blocks of
# (ids int64 [n], vectors float32 [n, dim]).
Fetch: TypeAlias = Callable[[int], Iterable[tuple["np.ndarray", "np.ndarray"]]]

# Reading this many vectors from the store takes less time than writing an index file.
_SMALL = 256


@dataclass(frozen=True, slots=True)
class IndexState:
    """What the store holds for one namespace and embedder.

    There are `count` vectors with ids up to `through`. `epoch` increases whenever vectors are
    deleted. `saved` is whether an index file has been written since the last deletion. If not, a
    missing or older file is expected; if so, it is reported as a problem.
    """

    epoch: int
    count: int
    through: int
    saved: bool = False


class VectorIndex:
    """A searchable index of the vectors of one namespace and embedder. Thread-safe.

    The file name of `path` identifies both, and a renamed file is rejected. Logs a warning that
    starts with `label` when a file cannot be used or written.
    """

    def __init__(
        self,
        path: Path,
        dim: int,
        *,
        flat_limit: int = FLAT_LIMIT,
        label: str = "",
    ) -> None:
        self.path = path
        self.dim = dim
        self.flat_limit = flat_limit
        self.label = label or f"the index {path.name}"
        self._lock = threading.RLock()
        self._nearest: Nearest | None = None
        self._epoch = self._through = 0
        self._seen: tuple[int, int, int] | None = None
        self._in_file = 0
        self._unwritable = False

    @property
    def kind(self) -> Kind:
        """The current type of index: exact ("flat"), graph ("hnsw", CPU) or lists ("ivf", GPU)."""
        return self._nearest.kind if self._nearest else "flat"

    @property
    def size(self) -> int:
        """The number of vectors in the index."""
        return self._nearest.size if self._nearest else 0

    def sync(self, state: IndexState, fetch: Fetch) -> None:
        """Bring the index up to date with the store: add new vectors, or rebuild it if necessary.

        Call this before `search`. A file that is missing, damaged, inconsistent with `state`, or
        from another namespace or embedder is replaced immediately, with one warning.
        """
        now = (state.epoch, state.count, state.through)
        with self._lock:
            if now == self._seen:
                return
            trouble = None
            if self._nearest is None or self._epoch != state.epoch:
                trouble = self._open(state)
            if trouble is None and not self._follow(state, fetch):
                trouble = "did not match the store"
            if trouble is not None:
                self._start(state.epoch)
                self._follow(state, fetch)
                logger.warning(
                    "%s %s: rebuilt from the store (%s vectors)",
                    self.label,
                    trouble,
                    f"{self.size:,}",
                )
                self._write()
            self._seen = now

    def search(
        self, query: np.ndarray, k: int, allowed: np.ndarray | None = None
    ) -> list[tuple[int, float]]:
        """(id, inner product) of the k nearest to `query` (float32 [dim]), best first.

        If `allowed` (int64 ids) is given, the search is exact and limited to these ids.
        """
        with self._lock:
            return self._nearest.search(query, k, allowed) if self._nearest else []

    def vectors(self, ids: np.ndarray) -> np.ndarray:
        """The vectors of these ids (int64 [n]): float32 [n, dim], with zeros for unknown ids."""
        import numpy as np

        with self._lock:
            if self._nearest is None:
                return np.zeros((len(ids), self.dim), dtype=np.float32)
            return self._nearest.vectors(ids)

    def ids(self) -> np.ndarray:
        """The ids in the index: int64 [size], ascending."""
        import numpy as np

        with self._lock:
            return self._nearest.ids if self._nearest else np.zeros(0, dtype=np.int64)

    def save(self) -> bool:
        """Write the index file if it lacks enough vectors; returns whether it was written.

        Vectors missing from the file are read from the store when it is next opened. That is cheap
        for a flat index, so the file is rewritten only when more than a tenth is missing; adding
        to a graph is expensive. Logs a warning once if the file cannot be written.
        """
        with self._lock:
            missing = self.size - self._in_file
            slack = max(_SMALL, self._in_file // 10) if self.kind == "flat" else _SMALL
            if missing <= 0 or (self._in_file and missing <= slack):
                return False
            return self._write()

    def drop(self) -> None:
        """Remove all vectors and delete the file; logs a warning if it cannot be deleted."""
        with self._lock:
            self._nearest = self._seen = None
            self._in_file = 0
            try:
                self.path.unlink(missing_ok=True)
            except OSError as error:
                logger.warning(
                    "%s cannot be deleted: %s: %s", self.label, error.strerror, self.path
                )

    def _start(self, epoch: int) -> Nearest:
        self._nearest = Nearest(self.dim, self.flat_limit, "ivf" if has_gpu() else "hnsw")
        self._epoch, self._through, self._in_file = epoch, 0, 0
        return self._nearest

    def _open(self, state: IndexState) -> str | None:
        """Load the file or start empty; returns what is wrong with the file, or None."""
        import numpy as np

        nearest = self._start(state.epoch)
        try:
            header, payload = read(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return "was missing" if state.saved and state.count else None
        except DamagedError:
            return "was damaged"
        except OSError as error:
            return f"could not be read ({error.strerror})"
        if (header.owner, header.dim) != (self.path.name, self.dim):
            return "belonged to another namespace or embedder"
        if header.epoch < state.epoch and not state.saved:
            return None
        if header.epoch != state.epoch or header.through > state.through:
            return "did not match the store"
        try:
            nearest.restore(np.frombuffer(payload, dtype=np.uint8))
        except RuntimeError:
            return "was damaged"
        self._through, self._in_file = header.through, header.count
        return None

    def _follow(self, state: IndexState, fetch: Fetch) -> bool:
        """Add new vectors from the store; returns whether the index now matches `state` exactly."""
        if self._nearest is None:
            return False
        if self._through < state.through:
            for ids, vectors in fetch(self._through):
                # Another process may be adding vectors now; those belong to a later state.
                known = ids <= state.through
                self._nearest.add(ids[known], vectors[known])
                self._through = int(ids[known].max(initial=self._through))
            self._through = state.through
        return self._through == state.through and self.size == state.count

    def _write(self) -> bool:
        if self._nearest is None:
            return False
        header = Header(self.path.name, self.dim, self._epoch, self.size, self._through)
        try:
            write(self.path, header, self._nearest.dump().data)
        except OSError as error:
            if not self._unwritable:
                logger.warning(
                    "%s could not be saved (%s: %s): it will be rebuilt from the store next time",
                    self.label,
                    error.strerror,
                    self.path.parent,
                )
            self._unwritable = True
            return False
        self._in_file, self._unwritable = self.size, False
        return True


def measure_recall(index: VectorIndex, sample: np.ndarray, k: int = 10) -> float:
    """Recall at k against exact search, for the queries `sample` (float32 [n, dim])."""
    ids = index.ids()
    found = wanted = 0
    for query in sample:
        exact = {vector_id for vector_id, _ in index.search(query, k, allowed=ids)}
        found += len(exact & {vector_id for vector_id, _ in index.search(query, k)})
        wanted += len(exact)
    return found / wanted if wanted else 1.0
