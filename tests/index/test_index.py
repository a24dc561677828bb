"""The index stays in step with a store that grows and forgets, with several threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from memagent.memory.index.vector_index import IndexState
from tests.index.truth import Truth, assert_exact, clustered, synced


def test_the_first_build_is_silent_and_exact(make, truth, warnings):
    index = synced(make(), truth)
    assert (index.kind, index.size) == ("flat", 300)
    assert_exact(index, truth)
    assert warnings == []


def test_an_empty_store_is_found_empty(make, warnings):
    index = make()
    assert index.search(clustered(1)[0], 5) == []
    index.sync(IndexState(0, 0, 0), lambda after: [])
    assert index.search(clustered(1)[0], 5) == []
    assert index.ids().tolist() == []
    assert not index.save()
    assert warnings == []


def test_a_saved_file_is_believed_without_reading_the_store(make, truth, stored, warnings):
    index = synced(make(), truth)
    assert truth.asked == []
    assert_exact(index, truth)
    assert warnings == []


def test_only_what_the_file_lacks_is_read_from_the_store(make, truth, stored, warnings):
    through = int(truth.ids[-1])
    truth.append(40)
    index = synced(make(), truth)
    assert truth.asked == [through]
    assert_exact(index, truth)
    truth.append(3, seed=5)
    assert_exact(synced(index, truth), truth)
    assert warnings == []


def test_a_state_seen_before_reads_nothing(make, truth):
    index = synced(make(), truth)
    truth.asked.clear()
    synced(index, truth)
    assert truth.asked == []


def test_vectors_stored_after_the_state_was_taken_wait_for_the_next_sync(make, truth, warnings):
    state = truth.state
    truth.append(10)
    index = make()
    index.sync(state, truth.fetch)
    assert index.size == state.count
    assert_exact(synced(index, truth), truth)
    assert warnings == []


def test_a_read_that_broke_off_is_continued(make, truth, warnings):
    class BrokenError(Exception):
        pass

    def fetch(after):
        yield next(iter(truth.fetch(after)))
        raise BrokenError

    index = make()
    with pytest.raises(BrokenError):
        index.sync(truth.state, fetch)
    assert 0 < index.size < 300
    assert_exact(synced(index, truth), truth)
    assert warnings == []


def test_a_deletion_makes_the_older_file_silently_obsolete(make, truth, stored, warnings):
    truth.delete([5, 299])
    index = synced(make(), truth)
    assert_exact(index, truth)
    assert index.save()
    truth.saved = True
    truth.asked.clear()
    assert_exact(synced(make(), truth), truth)
    assert truth.asked == []
    assert warnings == []


def test_a_deletion_under_an_open_index_is_followed(make, truth, stored, warnings):
    index = synced(make(), truth)
    truth.delete(list(range(0, 300, 2)))
    assert_exact(synced(index, truth), truth)
    assert warnings == []


@pytest.mark.parametrize("epoch", [1, -1])
def test_a_file_of_another_epoch_than_the_one_saved_is_one_warning(
    make, truth, stored, warnings, epoch
):
    truth.delete([3], saved=True)
    truth.epoch = epoch
    assert_exact(synced(make(), truth), truth)
    assert warnings == [
        "the index of namespace work did not match the store: rebuilt from the store (299 vectors)"
    ]


def test_a_file_ahead_of_the_store_is_one_warning(make, truth, stored, warnings):
    truth.ids, truth.vectors = truth.ids[:-20], truth.vectors[:-20]
    assert_exact(synced(make(), truth), truth)
    assert len(warnings) == 1
    assert "did not match the store" in warnings[0]


def test_a_file_that_lacks_a_vector_in_the_middle_is_one_warning(make, truth, path, warnings):
    full = truth.ids, truth.vectors
    truth.ids, truth.vectors = np.delete(full[0], 100), np.delete(full[1], 100, axis=0)
    assert synced(make(), truth).save()
    truth.ids, truth.vectors = full
    truth.append(5)
    assert_exact(synced(make(), truth), truth)
    assert len(warnings) == 1
    assert "did not match the store" in warnings[0]


def test_saving_waits_until_the_index_outgrew_its_file(make, truth, stored):
    index = synced(make(), truth)
    assert not index.save()
    truth.append(200)
    assert not synced(index, truth).save()
    truth.append(100, seed=3)
    assert synced(index, truth).save()
    truth.asked.clear()
    assert_exact(synced(make(), truth), truth)
    assert truth.asked == []


def test_dropping_deletes_the_file_and_the_vectors(make, truth, stored, warnings):
    index = synced(make(), truth)
    index.drop()
    assert not stored.exists()
    assert index.size == 0
    index.drop()
    truth.saved = False
    assert_exact(synced(index, truth), truth)
    assert index.save()
    assert warnings == []


def test_threads_search_while_the_index_grows_beside_torch(make, embedder):
    embedder.load()
    truth = Truth(800)
    index = synced(make(flat_limit=1000), truth)
    queries = clustered(50, seed=5)

    def grow():
        for seed in range(20):
            truth.append(50, seed=seed)
            synced(index, truth)

    def look(query):
        return index.search(query, 5)

    with ThreadPoolExecutor(4) as pool:
        growing = pool.submit(grow)
        embedding = pool.submit(lambda: embedder.encode(["a sentence of a few words"] * 64))
        found = list(pool.map(look, [*queries] * 4))
        growing.result()
        assert embedding.result().shape == (64, embedder.dim)
    assert all(len(hits) == 5 for hits in found)
    assert (index.kind, index.size) == ("hnsw", 1800)
