"""Surprise stored with its span: as exact as when computed, and readable without a model."""

import sqlite3
from contextlib import closing
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memagent.errors import UsageError
from memagent.memory.namespace import Namespace
from memagent.memory.segmentation.scorer import AbsentScorer, Surprise, UnscoredError, score
from memagent.memory.segmentation.surprising import SurprisingSentences
from memagent.memory.store.surprises import pack, unpack
from memagent.scorers.local import ModelSurprise
from memagent.types import Piece
from tests.conftest import Run

TEXT = topics["with"]
SCORER = ModelSurprise()
SEGMENTER = SurprisingSentences(SCORER)

tokens = st.tuples(st.integers(0, 99999), st.integers(0, 99999), st.floats(0, 40))


def add(memory: Namespace, *texts: str) -> int:
    source, _ = memory.sources.begin_document("notes", "hash", None, "text/plain")
    memory.add_pieces(source, map(Piece, texts), lambda spans, chars: None)
    return source.id


def places(memory: Namespace, source_id: int) -> list[tuple[int, int]]:
    return [(event.start, event.end) for event in memory.events.of(source_id)]


@given(st.lists(tokens, max_size=50))
def test_packed_surprise_comes_back(rows: list[tuple[int, int, float]]) -> None:
    table = np.array(rows).reshape(-1, 3)
    starts = table[:, 0].astype(np.int64).cumsum()
    offsets = np.stack((starts, starts + table[:, 1].astype(np.int64)), 1)
    found = unpack(pack(Surprise(offsets, table[:, 2].astype(np.float32))))
    assert found is not None
    assert (found.offsets.dtype, found.nats.dtype) == (np.int64, np.float32)
    assert np.array_equal(found.offsets, offsets)
    assert np.allclose(found.nats, table[:, 2], atol=1 / 128 + 1e-5)


def test_impossible_surprise_stays_large() -> None:
    nats = np.array([np.inf, 0.5], dtype=np.float32)
    found = unpack(pack(Surprise(np.array([[0, 1], [1, 2]]), nats)))
    assert found is not None
    assert found.nats[0] > 1e6
    assert found.nats[1] == 0.5


def test_stored_surprise_is_smaller_than_the_text() -> None:
    assert len(pack(score(SCORER, TEXT))) < len(TEXT)


def test_a_rebuild_uses_the_stored_surprise(memory: Namespace) -> None:
    memory.segmenter = SEGMENTER
    source_id = add(memory, TEXT, "A short one.", TEXT[500:])
    memory.catch_up()
    before = places(memory, source_id)
    assert len(memory.store.rows("SELECT * FROM surprises")) == 2
    memory.segmenter = SurprisingSentences(AbsentScorer(SCORER.id))
    memory.rebuild()
    assert places(memory, source_id) == before


def test_without_model_and_surprise_text_is_not_segmented(memory: Namespace) -> None:
    memory.segmenter = SurprisingSentences(AbsentScorer(SCORER.id))
    add(memory, TEXT)
    with pytest.raises(UnscoredError, match=SCORER.id):
        memory.catch_up()


def test_damaged_surprise_is_scored_again(memory: Namespace) -> None:
    memory.segmenter = SEGMENTER
    source_id = add(memory, TEXT)
    memory.catch_up()
    before = places(memory, source_id)
    (good,) = memory.store.rows("SELECT packed FROM surprises")
    with memory.store.write() as db:
        db.execute("UPDATE surprises SET packed = ?", [b"\x00" + good["packed"][1:]])
    memory.rebuild()
    assert places(memory, source_id) == before
    assert memory.store.rows("SELECT packed FROM surprises") == [good]


def test_a_recorded_rule_is_read_back() -> None:
    rule = SurprisingSentences(SCORER, gamma=-1e-05, tau=8, head=2, least=3, most=70, paragraph=9)
    read = SurprisingSentences.recorded(rule.id)
    assert read is not None
    assert (read.id, read.gamma, read.short) == (rule.id, rule.gamma, rule.short)
    for other in ("", "sentences-48-128", "surprise-1-2", f"{rule.id}".replace("--", "-x-")):
        assert SurprisingSentences.recorded(other) is None


@pytest.mark.parametrize(
    "wrong",
    [{"gamma": float("nan")}, {"tau": 1}, {"head": 0}, {"least": 0}, {"most": 7}, {"paragraph": 0}],
    ids=str,
)
def test_an_impossible_rule_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=rf"^{next(iter(wrong))} must be"):
        SurprisingSentences(SCORER, **wrong)  # type: ignore[arg-type]


def test_an_old_store_is_scored_when_needed(run: Run, tmp_path: Path) -> None:
    assert run("add", "-", "--name", "notes", stdin=TEXT).returncode == 0
    with closing(sqlite3.connect(tmp_path / "memory.db")) as db:
        db.executescript(
            """DROP TRIGGER surprises_span; DROP TRIGGER surprises_source; DROP TABLE surprises;
               DELETE FROM _sqlite_migrations WHERE name = 'm004_surprise'"""
        )
        before = db.execute("SELECT * FROM events").fetchall()
    found = run("search", "context manager")
    assert found.returncode == 0, found.stderr
    assert found.stdout
    with closing(sqlite3.connect(tmp_path / "memory.db")) as db:
        assert db.execute("SELECT * FROM events").fetchall() == before
        assert db.execute("SELECT * FROM surprises").fetchall() == []
    assert run("memory", "rebuild").returncode == 0
    with closing(sqlite3.connect(tmp_path / "memory.db")) as db:
        after = db.execute("SELECT start, end FROM events ORDER BY start").fetchall()
        assert after == [row[-2:] for row in before]
        assert db.execute("SELECT scorer FROM surprises").fetchall() == [(SCORER.id,)]
