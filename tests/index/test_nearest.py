"""Nearest vectors of every kind: exact where they must be, with recall where they may not."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from memagent.memory.index.nearest import Nearest
from memagent.memory.index.vector_index import measure_recall
from tests.index.truth import DIM, Truth, clustered, synced


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 1.0])
@pytest.mark.parametrize("flat_limit", [10_000, 500])
def test_a_filter_is_exact_whatever_the_kind(make, flat_limit, share):
    truth = Truth(1500)
    index = synced(make(flat_limit=flat_limit), truth)
    assert index.kind == ("flat" if flat_limit > 1500 else "hnsw")
    picked = np.random.default_rng(3).random(1500) < share
    allowed = np.concatenate([truth.ids[picked], [1, 2, 10**12]])
    for query in clustered(5, seed=8):
        found = [vector_id for vector_id, _ in index.search(query, 20, allowed)]
        assert found == truth.best(query, 20, allowed)


def test_more_neighbours_than_vectors_gives_all(make, truth):
    index = synced(make(), truth)
    query = clustered(1, seed=3)[0]
    assert [found for found, _ in index.search(query, 1000)] == truth.best(query, 1000)
    some = truth.ids[:7]
    assert {found for found, _ in index.search(query, 1000, some)} == set(some.tolist())
    assert index.search(query, 10, np.zeros(0, dtype=np.int64)) == []


def test_a_graph_takes_over_beyond_the_limit_and_keeps_its_recall(make, path, warnings):
    truth = Truth(2000)
    index = synced(make(flat_limit=2500), truth)
    assert index.kind == "flat"
    truth.append(3000)
    synced(index, truth)
    assert (index.kind, index.size) == ("hnsw", 5000)
    queries = clustered(100, seed=6)
    assert measure_recall(index, queries) >= 0.98
    assert index.save()

    truth.append(100, seed=7)
    again = synced(make(flat_limit=2500), truth)
    assert (again.kind, again.size) == ("hnsw", 5100)
    assert again.ids().tolist() == truth.ids.tolist()
    assert measure_recall(again, queries) >= 0.98
    newest = truth.vectors[-1]
    assert again.search(newest, 1)[0][0] == int(truth.ids[-1])
    assert warnings == []


def test_recall_of_a_flat_index_is_whole(make, truth):
    assert measure_recall(synced(make(), truth), clustered(10, seed=2)) == 1.0


def test_lists_keep_their_recall_and_filter_exactly_as_they_grow():
    truth = Truth(6000)
    lists = Nearest(DIM, 1000, "ivf")
    for start in range(0, 6000, 500):
        lists.add(truth.ids[start : start + 500], truth.vectors[start : start + 500])
    copy = Nearest(DIM, 1000, "ivf")
    copy.restore(lists.dump())
    assert (lists.kind, copy.kind, copy.size) == ("ivf", "ivf", 6000)
    assert lists.ids.tolist() == copy.ids.tolist() == truth.ids.tolist()
    hits = 0
    queries = clustered(40, seed=6)
    for query in queries:
        exact = truth.best(query, 10)
        found = lists.search(query, 10)
        assert copy.search(query, 10) == found
        hits += len(set(exact) & {vector_id for vector_id, _ in found})
        allowed = truth.ids[::7]
        filtered = [vector_id for vector_id, _ in lists.search(query, 10, allowed)]
        assert filtered == truth.best(query, 10, allowed)
    assert hits / (10 * len(queries)) >= 0.9


@pytest.mark.parametrize("first", ["faiss", "torch"])
def test_faiss_and_torch_share_a_process_in_either_order(first):
    second = {"faiss": "torch", "torch": "faiss"}[first]
    code = f"""
        import {first}, {second}
        import numpy as np
        vectors = np.random.default_rng(0).standard_normal((3000, 64)).astype("float32")
        index = faiss.IndexHNSWFlat(64, 16)
        for _ in range(3):
            index.add(vectors)
            weights = torch.from_numpy(vectors) @ torch.from_numpy(vectors).T
        print(index.ntotal, tuple(weights.shape))
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "9000 (3000, 3000)\n"), done.stderr


def test_without_faiss_there_is_one_line_with_the_cure(tmp_path):
    # An environment in which only faiss is missing: its name finds nothing.
    code = f"""
        import sys
        from pathlib import Path
        sys.modules["faiss"] = None
        from memagent.errors import InputError
        from memagent.memory.index.vector_index import IndexState, VectorIndex
        index = VectorIndex(Path({str(tmp_path)!r}) / "1-x.faiss", 4)
        try:
            index.sync(IndexState(0, 0, 0), lambda after: [])
        except InputError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.stdout == (
        'faiss is not installed: pip install "memagent[cpu]" '
        "(or memagent[gpu] on a machine with CUDA)\n"
    ), done.stderr


def test_opening_an_index_imports_neither_faiss_nor_numpy(tmp_path: Path):
    code = f"""
        import sys
        from pathlib import Path
        from memagent.memory.index.vector_index import VectorIndex
        VectorIndex(Path({str(tmp_path)!r}) / "1-x.faiss", 4)
        print(sorted({{"faiss", "numpy"}} & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf"])
def test_vectors_are_given_back_by_their_ids(kind):
    limit = 5000 if kind == "flat" else 100
    nearest = Nearest(DIM, limit, "hnsw" if kind == "flat" else kind)
    vectors = np.random.default_rng(1).standard_normal((400, DIM)).astype(np.float32)
    ids = np.arange(400) * 3 + 7
    nearest.add(ids, vectors)
    assert nearest.kind == kind
    found = nearest.vectors(np.array([7, 8, 7 + 3 * 399, 99_999, 37]))
    assert np.array_equal(found[[0, 2, 4]], vectors[[0, 399, 10]])
    assert not found[[1, 3]].any()
    assert nearest.vectors(np.zeros(0, dtype=np.int64)).shape == (0, DIM)
