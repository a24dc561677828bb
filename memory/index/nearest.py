"""Nearest-neighbour search by inner product with FAISS, on the CPU or the GPU.

Small sets are searched exactly, larger ones with an HNSW graph or inverted lists.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from memagent.errors import InputError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["FLAT_LIMIT", "Kind", "Large", "Nearest", "has_gpu"]

Kind = Literal["flat", "hnsw", "ivf"]
Large = Literal["hnsw", "ivf"]

# Measured on embedded sentences of documentation (384 dimensions, two cores): a flat search of
# 200,000 vectors takes 15 ms, as long as embedding the question, and needs no build. The graph
# takes 37 s to build and 0.7 ms to search, with a recall at 10 of 0.998. Doubling the build depth
# doubles the build time and gains 0.001.
FLAT_LIMIT = 250_000
_LINKS = 32
_BUILD_DEPTH = 100
_SEARCH_DEPTH = 256
_LISTS_VISITED = 8  # one of this many lists is visited
_GPU_MOST = 2048  # FAISS's limit on the neighbours and lists of one search


class Nearest:
    """Unit vectors with ascending ids. Above `flat_limit` vectors, the index type is `large`.

    Not thread-safe. Raises InputError if FAISS is not installed.
    """

    def __init__(self, dim: int, flat_limit: int, large: Large) -> None:
        self._faiss = _import_faiss()
        self.dim = dim
        self.flat_limit = flat_limit
        self.large = large
        self.kind: Kind = "flat"
        self._gpu: Any = None
        self._map = self._faiss.IndexIDMap(self._faiss.IndexFlatIP(dim))

    @property
    def size(self) -> int:
        """The number of vectors."""
        return int(self._map.ntotal)

    @property
    def ids(self) -> np.ndarray:
        """The ids: int64 [size], ascending."""
        ids: np.ndarray = self._faiss.vector_to_array(self._map.id_map)
        return ids

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        """Add vectors (float32 [n, dim]); their ids must be above all existing ids."""
        import numpy as np

        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if self._outgrown(self.size + len(ids)):
            before = self._inner.reconstruct_n(0, self.size)
            self._enlarge(np.concatenate([self.ids, ids]), np.concatenate([before, vectors]))
            return
        self._map.add_with_ids(vectors, np.ascontiguousarray(ids, dtype=np.int64))
        if self._gpu is not None:
            self._gpu.add(vectors)

    def search(
        self, query: np.ndarray, k: int, allowed: np.ndarray | None = None
    ) -> list[tuple[int, float]]:
        """(id, inner product) of the k nearest to `query` [dim], best first.

        If `allowed` (int64 ids) is given, the search is exact and limited to these ids.
        """
        import numpy as np

        ids = self.ids
        k = min(k, len(ids) if allowed is None else len(allowed), len(ids))
        if k <= 0:
            return []
        row = np.ascontiguousarray(query, dtype=np.float32).reshape(1, self.dim)
        if allowed is None:
            scores, places = self._unrestricted(row, k)
        else:
            mask = np.isin(ids, allowed)
            scores, places = self._restricted(row, k, mask)
        return [
            (int(ids[place]), float(score))
            for place, score in zip(places[0], scores[0], strict=True)
            if place >= 0
        ]

    def vectors(self, ids: np.ndarray) -> np.ndarray:
        """The vectors of these ids: float32 [n, dim], with zeros for unknown ids."""
        import numpy as np

        mine = self.ids
        found = np.zeros((len(ids), self.dim), dtype=np.float32)
        places = np.searchsorted(mine, ids)
        known = places < len(mine)
        known[known] = mine[places[known]] == ids[known]
        if known.any():
            inner = self._inner
            if self.kind == "ivf":
                inner.make_direct_map()
            found[known] = inner.reconstruct_batch(places[known])
        return found

    def dump(self) -> np.ndarray:
        """The serialised index: uint8 [n]."""
        data: np.ndarray = self._faiss.serialize_index(self._map)
        return data

    def restore(self, data: np.ndarray) -> None:
        """Load what `dump` returned; raises RuntimeError if FAISS cannot read it."""
        self._map = self._faiss.deserialize_index(data)
        inner = self._inner
        if isinstance(inner, self._faiss.IndexHNSWFlat):
            self.kind = "hnsw"
        elif isinstance(inner, self._faiss.IndexIVFFlat):
            self.kind = "ivf"
            self._mirror()

    @property
    def _inner(self) -> Any:
        return self._faiss.downcast_index(self._map.index)

    def _unrestricted(self, row: np.ndarray, k: int) -> Any:
        if self.kind == "flat":
            return self._inner.search(row, k)
        if self.kind == "hnsw":
            depth = max(_SEARCH_DEPTH, k)
            return self._inner.search(
                row, k, params=self._faiss.SearchParametersHNSW(efSearch=depth)
            )
        index = self._gpu if self._gpu is not None and k <= _GPU_MOST else self._inner
        index.nprobe = min(_GPU_MOST, math.ceil(self._inner.nlist / _LISTS_VISITED))
        return index.search(row, k)

    def _restricted(self, row: np.ndarray, k: int, mask: np.ndarray) -> Any:
        import numpy as np

        faiss = self._faiss
        # A filtered graph search would miss many allowed vectors, so the graph's vectors are
        # scanned instead. For the same reason, all lists of an IVF index are visited.
        chosen = faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
        inner = self._inner
        if self.kind == "ivf":
            every = faiss.SearchParametersIVF(sel=chosen, nprobe=inner.nlist)
            return inner.search(row, k, params=every)
        flat = inner if self.kind == "flat" else faiss.downcast_index(inner.storage)
        return flat.search(row, k, params=faiss.SearchParameters(sel=chosen))

    def _outgrown(self, size: int) -> bool:
        if self.kind == "ivf":  # trained on too few vectors, so its lists have become long
            return bool(self._inner.nlist < _lists(size) // 2)
        return self.kind == "flat" and size > self.flat_limit

    def _enlarge(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        faiss = self._faiss
        metric = faiss.METRIC_INNER_PRODUCT
        if self.large == "hnsw":
            inner = faiss.IndexHNSWFlat(self.dim, _LINKS, metric)
            inner.hnsw.efConstruction = _BUILD_DEPTH
        else:
            quantizer = faiss.IndexFlatIP(self.dim)
            inner = faiss.IndexIVFFlat(quantizer, self.dim, _lists(len(ids)), metric)
            inner.train(vectors)
        self.kind = self.large
        self._map = faiss.IndexIDMap(inner)
        self._map.add_with_ids(vectors, ids)
        if self.kind == "ivf":
            self._mirror()

    def _mirror(self) -> None:
        """Copy the lists to the GPU, if any; the CPU copy serves filtered searches and files."""
        if has_gpu():
            faiss = self._faiss
            self._gpu = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, self._inner)


def has_gpu() -> bool:
    """Whether the installed FAISS can use a GPU on this machine."""
    faiss = _import_faiss()
    return hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0


def _lists(size: int) -> int:
    return max(1, round(4 * math.sqrt(size)))


def _import_faiss() -> ModuleType:
    try:
        import faiss
    except ModuleNotFoundError as error:
        raise InputError(
            'faiss is not installed: pip install "memagent[cpu]" '
            "(or memagent[gpu] on a machine with CUDA)"
        ) from error
    module: ModuleType = faiss
    return module
