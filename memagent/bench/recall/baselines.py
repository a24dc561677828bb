"""What others would find: words by SQLite's full-text search, vectors, both fused by rank."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from memagent.bench.recall.items import History
from memagent.memory.recall.fuse import fuse
from memagent.memory.recall.lexical import content_words

if TYPE_CHECKING:
    import numpy as np

    from memagent.memory.embed import Embedder

__all__ = ["BASELINES", "Ranking", "baselines"]

# Numbers of turns for a question, best first.
Ranking = Callable[[str], list[int]]

BASELINES = ("words", "vectors", "ranks fused")


def baselines(history: History, embedder: Embedder) -> dict[str, Ranking]:
    """The ways of `BASELINES`: FTS5 over windows of five turns, the floor; vectors of turns; and
    reciprocal ranks of turns and windows by words and by vectors, where a turn of a speaker whom
    the question names counts half as much again."""
    alone = [turn.said for turn in history.turns]
    wide = [_window(history, number, 2) for number in range(len(alone))]
    words, windows = _Words(alone), _Words(wide)
    vectors = embedder.encode(alone)
    beside = embedder.encode([_window(history, number, 1) for number in range(len(alone))])
    speakers = [turn.speaker.lower() for turn in history.turns]

    def dense(question: str) -> list[int]:
        return _order(vectors @ embedder.encode([question])[0])

    def fused(question: str) -> list[int]:
        vector = embedder.encode([question])[0]
        rankings = {
            "words": words.search(question),
            "windows of words": windows.search(question),
            "vectors": _order(vectors @ vector),
            "windows of vectors": _order(beside @ vector),
        }
        asked = question.lower()
        named = {speaker for speaker in speakers if speaker and speaker in asked}
        scores = {
            number: score * (1.5 if speakers[number] in named else 1)
            for number, score in fuse(rankings)
        }
        return sorted(scores, key=lambda number: -scores[number])

    return dict(zip(BASELINES, (windows.search, dense, fused), strict=True))


class _Words:
    """BM25 over texts, numbered from 0."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.db = sqlite3.connect(":memory:")
        self.db.execute(
            "CREATE VIRTUAL TABLE texts USING fts5 "
            "(text, tokenize='porter unicode61 remove_diacritics 2')"
        )
        self.db.executemany("INSERT INTO texts (rowid, text) VALUES (?, ?)", enumerate(texts))

    def search(self, question: str) -> list[int]:
        match = " OR ".join(f'"{word}"' for word in content_words(question))
        if not match:
            return []
        query = "SELECT rowid FROM texts WHERE texts MATCH ? ORDER BY rank"
        return [row[0] for row in self.db.execute(query, [match])]


def _window(history: History, number: int, reach: int) -> str:
    """What was said around a turn in its session."""
    turns, session = history.turns, history.turns[number].session
    around = range(max(0, number - reach), min(len(turns), number + reach + 1))
    return "\n".join(turns[n].said for n in around if turns[n].session == session)


def _order(scores: np.ndarray) -> list[int]:
    import numpy as np

    found: list[int] = np.argsort(-scores, kind="stable").tolist()
    return found
