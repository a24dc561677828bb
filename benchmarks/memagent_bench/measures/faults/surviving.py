"""Check a store after kills: its search against a rebuilt copy, its isolation, its bytes."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from memagent.memory.events import Filter
from memagent.memory.index.embedder import Embedder
from memagent.memory.namespace import Namespace
from memagent.memory.segmentation.sentences import Segmenter
from memagent.memory.store.database import Store
from memagent_bench.data.corpus import Corpus

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Damage", "compare_rebuilt", "count_leaks", "count_marks"]

_QUERIES = 40
_DEPTH = 50
# Vectors of a text differ by this much if it is embedded in another batch, with other padding.
_CLOSE = {"lexical": 1e-6, "dense": 0.01}

_Place = tuple[str, int, int]
_Rankings = dict[str, dict[_Place, float]]


@dataclass
class Damage:
    """What went wrong so far; ideally all zero."""

    leaks: int = 0
    marks_left: int = 0
    integrity_failures: int = 0
    search_differences: int = 0
    rebuilt_indexes: int = 0
    losses: list[str] = field(default_factory=list)

    def note(
        self,
        *,
        lost: Sequence[str] = (),
        leaks: int = 0,
        marks_left: int = 0,
        search_differences: int = 0,
        integrity: str = "ok",
    ) -> None:
        """Add the findings of a check; `lost` has one line for each loss."""
        self.losses += lost
        self.leaks += leaks
        self.marks_left += marks_left
        self.search_differences += search_differences
        self.integrity_failures += integrity != "ok"


def compare_rebuilt(
    path: Path,
    index: Path,
    embedder: Embedder,
    namespaces: Mapping[str, str],
    corpus: Corpus,
    segmenter: Segmenter | None = None,
) -> tuple[int, int]:
    """How many queries rank differently in a rebuilt copy, and how many queries there were."""
    with tempfile.TemporaryDirectory(prefix="memagent-rebuilt-") as folder:
        copy = Path(folder) / "memory.db"
        with closing(sqlite3.connect(path)) as here, closing(sqlite3.connect(copy)) as there:
            here.backup(there)
        store, other = Store(path), Store(copy)
        different = asked = 0
        for name in namespaces:
            memory = Namespace(store, name, embedder, index, segmenter)
            rebuilt = Namespace(other, name, embedder, Path(folder) / "index", segmenter)
            memory.catch_up()
            rebuilt.rebuild()
            questions = _questions(memory, corpus)
            vectors = embedder.encode(questions)
            for question, vector in zip(questions, vectors, strict=True):
                asked += 1
                different += _differ(
                    _ranked(memory, question, vector), _ranked(rebuilt, question, vector)
                )
            memory.close()
        # The full-text index must agree with the text, row by row.
        with store.write() as db:
            db.execute("INSERT INTO events_fts (events_fts, rank) VALUES ('integrity-check', 1)")
        store.close()
        other.close()
    return different, asked


def count_leaks(path: Path, index: Path, embedder: Embedder, namespaces: Mapping[str, str]) -> int:
    """Number of recalled events that belong to another namespace or contain its word."""
    store = Store(path)
    row = store.row(
        """SELECT count(*) AS n FROM events e JOIN sources s ON s.id = e.source_id
           WHERE s.namespace_id <> e.namespace_id"""
    )
    leaks = int(row["n"]) if row else 0
    for name in namespaces:
        memory = Namespace(store, name, embedder, index)
        foreign = [mark for other, mark in namespaces.items() if other != name]
        for mark in namespaces.values():
            for question in (mark, f"Note {mark}", f"section {mark} note"):
                found = memory.recall(question, budget=4000).events
                leaks += sum(mark in event.text for event in found for mark in foreign)
    store.close()
    return leaks


def count_marks(folder: Path, store: Path, mark: str) -> int:
    """Occurrences of `mark` in the bytes of the store, its log and its index files.

    The full-text index shares the first letters of a word with its neighbour, so only the tail is
    counted.
    """
    tail = mark[4:].encode()
    files = [path for path in folder.rglob(f"{store.name}*") if path.is_file()]
    files += [path for path in (folder / f"{store.name}.index").rglob("*") if path.is_file()]
    return sum(path.read_bytes().count(tail) for path in set(files))


def _questions(memory: Namespace, corpus: Corpus) -> list[str]:
    events = memory.events.after(0, 1_000_000)
    chosen = corpus.random.choice(len(events), size=min(_QUERIES, len(events)), replace=False)
    return [corpus.question(events[number].text) for number in chosen]


def _differ(ours: _Rankings, theirs: _Rankings) -> bool:
    return any(not _agree(ours[name], theirs[name], _CLOSE[name]) for name in ours)


def _ranked(memory: Namespace, question: str, vector: np.ndarray) -> _Rankings:
    """Score per place and channel."""
    memory.sync_index()
    lexical = memory.retriever.lexical
    channels = {
        "lexical": lexical.search(lexical.words(question), _DEPTH, Filter()),
        "dense": memory.retriever.index.search(vector, _DEPTH),
    }
    return {name: _places(memory, dict(ranking)) for name, ranking in channels.items()}


def _places(memory: Namespace, scores: Mapping[int, float]) -> dict[_Place, float]:
    events = memory.events.get(list(scores))
    return {(event.source, event.start, event.end): scores[event.id] for event in events}


def _agree(ours: Mapping[_Place, float], theirs: Mapping[_Place, float], close: float) -> bool:
    """Whether scores at equal locations are equal; only the lowest ranks may differ in location."""
    if len(ours) != len(theirs):
        return False
    last = min((*ours.values(), *theirs.values()), default=0.0) + 2 * close
    for one, other in ((ours, theirs), (theirs, ours)):
        for place, score in one.items():
            if place in other:
                if abs(other[place] - score) > close * max(1.0, abs(score)):
                    return False
            elif score > last:
                return False
    return True
