"""Baselines of recall: words with SQLite's full-text search, vectors, and both fused by rank."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

from memagent.memory.recall.fuse import fuse
from memagent.memory.recall.lexical import content_words
from memagent_bench.data.items import History

if TYPE_CHECKING:
    import numpy as np

    from memagent.memory.index.embedder import Embedder

__all__ = ["BASELINES", "Baselines"]

BASELINES = ("words", "vectors", "ranks fused")


class Baselines:
    """The methods of `BASELINES`.

    `words` is FTS5 over windows of five turns, the lower bound; `vectors` the embeddings of turns;
    `ranks fused` the reciprocal ranks of turns and windows by words and by vectors, with a factor
    of 1.5 for turns of a speaker that the question names.
    """

    def __init__(self, history: History, embedder: Embedder) -> None:
        self.embedder = embedder
        self.speakers = [turn.speaker.lower() for turn in history.turns]
        alone = [turn.said for turn in history.turns]
        numbers = range(len(alone))
        self.words = _Words(alone)
        self.windows = _Words([_window(history, number, 2) for number in numbers])
        self.vectors = embedder.encode(alone)
        self.neighbours = embedder.encode([_window(history, number, 1) for number in numbers])

    def rank(self, question: str) -> dict[str, list[int]]:
        """For each method, the numbers of the turns, best first."""
        vector = self.embedder.encode([question])[0]
        rankings = {
            "words": self.words.search(question),
            "windows of words": self.windows.search(question),
            "vectors": _order(self.vectors @ vector),
            "windows of vectors": _order(self.neighbours @ vector),
        }
        asked = question.lower()
        named = {speaker for speaker in self.speakers if speaker and speaker in asked}
        scores = {
            number: score * (1.5 if self.speakers[number] in named else 1)
            for number, score in fuse(rankings)
        }
        fused = sorted(scores, key=lambda number: -scores[number])
        orders = (rankings["windows of words"], rankings["vectors"], fused)
        return dict(zip(BASELINES, orders, strict=True))


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
    """The text around a turn, within its session."""
    turns, session = history.turns, history.turns[number].session
    around = range(max(0, number - reach), min(len(turns), number + reach + 1))
    return "\n".join(turns[n].said for n in around if turns[n].session == session)


def _order(scores: np.ndarray) -> list[int]:
    import numpy as np

    found: list[int] = np.argsort(-scores, kind="stable").tolist()
    return found
