"""Files that are torn, missing, another's or written at once: rebuilt with one warning."""

import json
import os
import random
import resource
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from memagent.memory.index.file import DamagedError, Header, read, write
from memagent.memory.index.vector_index import VectorIndex
from tests.index.truth import DIM, Truth, assert_exact, clustered, synced


@pytest.mark.parametrize("seed", range(8))
def test_a_file_cut_short_anywhere_is_rebuilt_with_one_warning(make, truth, stored, warnings, seed):
    data = stored.read_bytes()
    stored.write_bytes(data[: random.Random(seed).randrange(len(data))])
    assert_exact(synced(make(), truth), truth)
    assert warnings == [
        "the index of namespace work was damaged: rebuilt from the store (300 vectors)"
    ]


@pytest.mark.parametrize("place", [0, 20, 50, 60, 90, 150, 5_000, -1])
def test_a_flipped_bit_anywhere_is_rebuilt_with_one_warning(make, truth, stored, warnings, place):
    data = bytearray(stored.read_bytes())
    data[place] ^= 1 << (place % 8)
    stored.write_bytes(data)
    assert_exact(synced(make(), truth), truth)
    assert len(warnings) == 1
    assert "was damaged" in warnings[0]


def test_a_rebuilt_file_is_whole_again_at_once(make, truth, stored, warnings):
    stored.write_bytes(b"")
    synced(make(), truth)
    truth.asked.clear()
    assert_exact(synced(make(), truth), truth)
    assert truth.asked == []
    assert len(warnings) == 1


def test_a_missing_file_that_was_saved_before_is_one_warning(make, truth, stored, warnings):
    stored.unlink()
    index = synced(make(), truth)
    synced(index, truth)
    assert_exact(index, truth)
    assert warnings == [
        "the index of namespace work was missing: rebuilt from the store (300 vectors)"
    ]
    assert stored.exists()


def test_a_file_that_is_a_folder_is_one_warning_per_trouble(make, truth, stored, warnings):
    stored.unlink()
    stored.mkdir()
    assert_exact(synced(make(), truth), truth)
    assert len(warnings) == 2
    assert "could not be read (Is a directory)" in warnings[0]
    assert "could not be saved (Is a directory" in warnings[1]


def test_a_file_under_the_name_of_another_is_one_warning(make, truth, stored, warnings):
    other = Truth(seed=4)
    path = stored.with_name("2-minilm.faiss")
    path.write_bytes(stored.read_bytes())
    assert_exact(synced(make(path=path), other), other)
    assert len(warnings) == 1
    assert "another namespace or embedder" in warnings[0]


def test_a_file_of_other_dimensions_is_one_warning(make, stored, warnings):
    wide = Truth()
    wide.vectors = clustered(300, dim=48)
    index = synced(make(dim=48), wide)
    assert index.search(wide.vectors[17], 1)[0][0] == int(wide.ids[17])
    assert len(warnings) == 1


def test_a_whole_file_with_a_payload_faiss_cannot_read_is_one_warning(
    make, truth, stored, warnings
):
    header, _ = read(stored)
    write(stored, header, b"not an index of faiss")
    assert_exact(synced(make(), truth), truth)
    assert len(warnings) == 1


def test_a_folder_that_cannot_be_made_is_one_warning_and_search_works(
    make, truth, tmp_path, warnings
):
    (tmp_path / "file").write_text("in the way")
    index = synced(make(path=tmp_path / "file" / "1-minilm.faiss"), truth)
    assert not index.save()
    assert not index.save()
    assert_exact(index, truth)
    assert len(warnings) == 1
    assert "could not be saved" in warnings[0]


def test_a_full_disk_keeps_the_old_file_and_is_one_warning(make, truth, stored, warnings):
    before = stored.read_bytes()
    truth.append(600)
    index = synced(make(), truth)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        assert not index.save()
        assert not index.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(warnings) == 1
    assert "could not be saved (File too large" in warnings[0]
    assert stored.read_bytes() == before
    assert [left.name for left in stored.parent.iterdir()] == [stored.name]
    assert index.save()


def test_a_writer_that_is_killed_leaves_the_old_file_and_no_litter_for_long(
    make, truth, stored, warnings
):
    code = f"""
        import os, signal
        from pathlib import Path
        from memagent.memory.index.file import Header, write
        os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
        write(Path({str(stored)!r}), Header("1-minilm.faiss", {DIM}, 0, 9, 9), b"x" * 100_000)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert done.returncode == -9
    (litter,) = set(stored.parent.iterdir()) - {stored}
    assert_exact(synced(make(), truth), truth)
    assert warnings == []
    truth.append(400)
    synced(make(), truth).save()
    assert litter.exists()  # it might be a live writer's
    os.utime(litter, (time.time() - 7200,) * 2)
    truth.append(400)
    assert synced(make(), truth).save()
    assert list(stored.parent.iterdir()) == [stored]


def test_writers_at_once_leave_one_whole_file(tmp_path):
    path = tmp_path / "1-minilm.faiss"

    def writer(number):
        for _ in range(15):
            write(path, Header(path.name, DIM, number, number, number), bytes([number]) * 200_000)
            header, payload = read(path)
            assert bytes(payload) == bytes([header.epoch]) * 200_000

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(writer, range(1, 4)))
    assert list(tmp_path.iterdir()) == [path]


def test_indexes_that_save_at_once_leave_a_file_that_is_believed(make, truth, stored, warnings):
    truth.append(1000)

    indexes = [synced(make(), truth) for _ in range(6)]
    with ThreadPoolExecutor(3) as pool:
        assert all(pool.map(VectorIndex.save, indexes))
    truth.asked.clear()
    assert_exact(synced(make(), truth), truth)
    assert truth.asked == []
    assert warnings == []


def test_the_file_is_readable_by_its_owner_alone(stored):
    assert stored.stat().st_mode & 0o077 == 0


def test_a_header_survives_the_round_trip(tmp_path):
    path = tmp_path / "deep" / "file"
    header = Header("file", 3, 1, 2, 99)
    write(path, header, b"\x00payload\xff")
    again, payload = read(path)
    assert (again, bytes(payload)) == (header, b"\x00payload\xff")
    path.write_text(json.dumps({"not": "an index"}))
    with pytest.raises(DamagedError):
        read(path)
