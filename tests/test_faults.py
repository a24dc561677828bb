"""Kill processes while they write, and test that the checks detect damage."""

import shutil
from pathlib import Path

import pytest

from memagent.memory.index.embedder import Embedder
from memagent.memory.namespace import Namespace
from memagent.memory.store.database import Store
from memagent.types import Piece
from memagent_bench.data.corpus import Corpus
from memagent_bench.measures.faults.killing import environment, kill, run
from memagent_bench.measures.faults.measure import measure
from memagent_bench.measures.faults.surviving import compare_rebuilt, count_leaks, count_marks
from memagent_bench.report import CheckError

NAMES = {"ada": "qhadamirolk", "ben": "qhbenzutarp"}


def test_kills_lose_nothing() -> None:
    report = measure(6)
    assert report.metrics["kills"] >= 6
    wrong = {name: value for name, value in report.metrics.items() if name != "kills" and value}
    assert wrong == {}
    (row,) = report.rows
    assert sum(row["phases"].values()) == report.metrics["kills"]
    assert row["events"] > 0 and row["queries"] > 0


def fill(memory: Namespace, mark: str) -> None:
    corpus = Corpus(3, 8)
    pieces = [Piece(f"{mark}. {piece.text[:200]}\n\n") for piece in corpus.pieces(12)]
    source, _ = memory.sources.begin_document(mark, mark, None, "text/plain")
    memory.add_pieces(source, pieces, lambda spans, chars: None)
    memory.catch_up()


def test_the_checks_see_damage(tmp_path: Path, embedder: Embedder) -> None:
    path, index = tmp_path / "memory.db", tmp_path / "memory.db.index"
    store = Store(path)
    memories = {name: Namespace(store, name, embedder, index) for name in NAMES}
    for name, memory in memories.items():
        fill(memory, NAMES[name])
        memory.sync_index()
        memory.close()
    place = (path, index, embedder, NAMES)
    assert compare_rebuilt(*place, Corpus(4, 8)) == (0, 24)
    assert count_leaks(*place) == 0
    assert count_marks(tmp_path, path, NAMES["ada"]) >= 12

    with store.write() as db:
        db.execute(
            """UPDATE vectors SET vector = (SELECT vector FROM vectors WHERE event_id = 1)
               WHERE namespace_id = 1"""
        )
    shutil.rmtree(index)
    different, _ = compare_rebuilt(*place, Corpus(4, 8))
    assert different > 0

    fill(Namespace(store, "ben", embedder, index), NAMES["ada"])
    assert count_leaks(*place) > 0
    store.close()


def test_a_process_is_killed_when_it_has_said_enough(tmp_path: Path) -> None:
    env = environment(tmp_path)
    document = tmp_path / "long.md"
    document.write_text("".join(f"# {n}\n\nThis is section {n}.\n\n" for n in range(320)))
    ended = kill(["add", "long.md", "--jsonl"], env, lambda said: said >= 3, 0.0)
    assert ended.killed
    assert 3 <= len(ended.lines) <= 11
    whole = run(["memory", "list", "--json"], env)
    assert not whole.killed and '"long.md"' in "".join(whole.lines)
    with pytest.raises(CheckError, match="ended with 3"):
        run(["memory", "show", "nothing"], env)
