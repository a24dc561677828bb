"""Ground truth for an index: an exhaustive search over the stored vectors."""

import numpy as np
import pytest

from memagent.memory.index.vector_index import IndexState

DIM = 32


def clustered(count, dim=DIM, seed=0):
    """Unit vectors about topics, as passages are."""
    random = np.random.default_rng(seed)
    topics = random.standard_normal((max(4, count // 50), dim))
    vectors = topics[random.integers(0, len(topics), count)]
    vectors = vectors + 0.6 * random.standard_normal((count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


class Truth:
    """The store's side: vectors under ascending ids with gaps, deletions, and what was read."""

    def __init__(self, count=300, seed=0):
        self.vectors = clustered(count, seed=seed)
        self.ids = np.arange(count, dtype=np.int64) * 3 + 7
        self.epoch = 0
        self.saved = False
        self.asked = []

    def append(self, count, seed=1):
        first = int(self.ids[-1]) + 2
        self.ids = np.concatenate([self.ids, np.arange(first, first + count, dtype=np.int64)])
        self.vectors = np.concatenate([self.vectors, clustered(count, seed=seed)])

    def delete(self, places, saved=False):
        self.ids = np.delete(self.ids, places)
        self.vectors = np.delete(self.vectors, places, axis=0)
        self.epoch += 1
        self.saved = saved

    @property
    def state(self):
        return IndexState(self.epoch, len(self.ids), int(self.ids[-1]), self.saved)

    def fetch(self, after):
        self.asked.append(after)
        places = np.flatnonzero(self.ids > after)
        for block in np.array_split(places, max(1, len(places) // 100)):
            yield self.ids[block], self.vectors[block]

    def best(self, query, k, allowed=None):
        places = range(len(self.ids))
        if allowed is not None:
            wanted = set(allowed.tolist())
            places = [place for place in places if int(self.ids[place]) in wanted]
        ranked = sorted(places, key=lambda place: -float(self.vectors[place] @ query))
        return [int(self.ids[place]) for place in ranked[:k]]


def synced(index, truth):
    index.sync(truth.state, truth.fetch)
    return index


def assert_exact(index, truth, k=10):
    assert index.ids().tolist() == truth.ids.tolist()
    for query in clustered(5, seed=9):
        found = index.search(query, k)
        assert [vector_id for vector_id, _ in found] == truth.best(query, k)
        scores = [score for _, score in found]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] == pytest.approx(float((truth.vectors @ query).max()), abs=1e-5)
