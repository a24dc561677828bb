"""An index kept in step with the store, whose vectors it only caches.

Knows when its file can be believed and when it must be rebuilt; how vectors are searched and how
a file is laid out stand in `nearest.py` and `index_file.py`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from memagent.memory.index.file import Header, TornError, read, write
from memagent.memory.index.nearest import FLAT_LIMIT, Kind, Nearest, has_gpu

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Fetch", "IndexState", "VectorIndex", "measure_recall"]

logger = logging.getLogger(__name__)

# Given an id, the store's vectors above it in blocks of (ids int64 [n], vectors float32 [n, dim]).
Fetch: TypeAlias = Callable[[int], Iterable[tuple["np.ndarray", "np.ndarray"]]]

# Reading this many vectors from the store costs less than writing any file.
_SMALL = 256


@dataclass(frozen=True, slots=True)
class IndexState:
    """What the store holds for one namespace and embedder.

    `count` vectors with ids up to `through`. `epoch` rises whenever some were deleted, and `saved`
    says that an index file was written since: without it a missing or older file is as it should
    be, with it something happened to the file.
    """

    epoch: int
    count: int
    through: int
    saved: bool = False


class VectorIndex:
    """The vectors of one namespace under one embedder, searchable; safe to use from threads.

    The name of `path` identifies both: a file is only used under the name it was written with.
    Logs one warning, which starts with `label`, whenever a file could not be used or written.
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
        """How vectors are found now: all of them compared, by a graph (CPU), by lists (GPU)."""
        return self._nearest.kind if self._nearest else "flat"

    @property
    def size(self) -> int:
        """Number of vectors that are searched."""
        return self._nearest.size if self._nearest else 0

    def sync(self, state: IndexState, fetch: Fetch) -> None:
        """Bring the index into step with the store: add what is new, rebuild if it cannot be.

        Call it before `search`. A file that is missing, torn, another namespace's or embedder's,
        or out of step with `state` is replaced at once, with one warning.
        """
        now = (state.epoch, state.count, state.through)
        with self._lock:
            if now == self._seen:
                return
            trouble = None
            if self._nearest is None or self._epoch != state.epoch:
                trouble = self._open(state)
            if trouble is None and not self._follow(state, fetch):
                trouble = "was out of step"
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

        With `allowed` (int64 ids) only those are searched, and exactly.
        """
        with self._lock:
            return self._nearest.search(query, k, allowed) if self._nearest else []

    def vectors(self, ids: np.ndarray) -> np.ndarray:
        """The vectors under these ids (int64 [n]), float32 [n, dim]; zeros where there is none."""
        import numpy as np

        with self._lock:
            if self._nearest is None:
                return np.zeros((len(ids), self.dim), dtype=np.float32)
            return self._nearest.vectors(ids)

    def ids(self) -> np.ndarray:
        """The ids that are searched, int64 [size], ascending."""
        import numpy as np

        with self._lock:
            return self._nearest.ids if self._nearest else np.zeros(0, dtype=np.int64)

    def save(self) -> bool:
        """Write the file if the index outgrew it, and say whether it was written.

        What the file lacks is read from the store next time. Adding to a flat index is so cheap
        that a tenth may be missing before hundreds of megabytes are written again; adding to a
        graph is not. A file that cannot be written is one warning.
        """
        with self._lock:
            missing = self.size - self._in_file
            slack = max(_SMALL, self._in_file // 10) if self.kind == "flat" else _SMALL
            if missing <= 0 or (self._in_file and missing <= slack):
                return False
            return self._write()

    def drop(self) -> None:
        """Forget the vectors and delete the file; warns if it cannot be deleted."""
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
        """Start from the file, or from nothing; returns what is wrong with the file, or None."""
        import numpy as np

        nearest = self._start(state.epoch)
        try:
            header, payload = read(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return "was missing" if state.saved and state.count else None
        except TornError:
            return "was torn"
        except OSError as error:
            return f"could not be read ({error.strerror})"
        if (header.owner, header.dim) != (self.path.name, self.dim):
            return "was of another namespace or embedder"
        if header.epoch < state.epoch and not state.saved:
            return None
        if header.epoch != state.epoch or header.through > state.through:
            return "was out of step"
        try:
            nearest.restore(np.frombuffer(payload, dtype=np.uint8))
        except RuntimeError:
            return "was torn"
        self._through, self._in_file = header.through, header.count
        return None

    def _follow(self, state: IndexState, fetch: Fetch) -> bool:
        """Add the store's newer vectors; returns whether all are there and no other."""
        if self._nearest is None:
            return False
        if self._through < state.through:
            for ids, vectors in fetch(self._through):
                # Others may be storing more at this moment: those belong to a later state.
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
    """Share of the exact k nearest that the index finds, for queries float32 [n, dim]."""
    ids = index.ids()
    found = wanted = 0
    for query in sample:
        exact = {vector_id for vector_id, _ in index.search(query, k, allowed=ids)}
        found += len(exact & {vector_id for vector_id, _ in index.search(query, k)})
        wanted += len(exact)
    return found / wanted if wanted else 1.0
