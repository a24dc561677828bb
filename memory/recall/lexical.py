"""Lexical search: BM25 over SQLite's FTS5, within one namespace."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from memagent.memory.events import Filter
from memagent.memory.store.database import Store

__all__ = ["Lexical", "content_words", "is_content"]

# Words of almost every event; searching for them costs time and does not help ranking.
_STOP = frozenset(
    """a about after all also am an and any are as at be because been before being between both but
    by can could did do does doing during each either else ever every few for from further had
    has have having he her here hers him his how i if in into is it its itself just let like ll
    me might more most must my no nor not now of off on once only or other our out over own
    please re s same shall she should so some such t than that the their them then there these
    they this those through to too under until up us ve very was we were what when where whether
    which while who whom whose why will with would yes you your""".split()
)
_WORD = re.compile(r"\w+")

# Scoring costs about a millisecond per thousand events that match. Where more than this many do,
# the question's most frequent words, which rank least, are left out.
_SCORED = 20_000


def content_words(text: str) -> list[str]:
    """The distinct words of `text` in lower case without function words; all if none is left."""
    words = list(dict.fromkeys(word.lower() for word in _WORD.findall(text)))
    return [word for word in words if word not in _STOP] or words


def is_content(word: str) -> bool:
    """Whether a lower-case word, or a piece of one, can distinguish texts."""
    return word not in _STOP and word[:1] != "[" and any(map(str.isalnum, word))


class Lexical:
    """BM25 with stemming; any word of the question may match.

    The events of the namespace `also` are searched together with those of the first.
    """

    name = "lexical"

    def __init__(self, store: Store, namespace_id: int, also: int | None = None) -> None:
        self.store = store
        self._inside = f"n{namespace_id}" if also is None else f"(n{namespace_id} OR n{also})"

    def words(self, question: str) -> list[str]:
        """The words of a question to search for."""
        words = content_words(question)[:64]
        return self._rarest(words) if words else []

    def search(self, words: Sequence[str], depth: int, where: Filter) -> list[tuple[int, float]]:
        """Up to `depth` (event id, BM25 score), best first; higher is better."""
        if not words:
            return []
        match = self._match(words)
        join, conditions, values = "", "", list[Any]()
        if where:
            join = """JOIN events e ON e.id = events_fts.rowid JOIN spans s ON s.id = e.span_id"""
            conditions, values = where.sql()
        rows = self.store.rows(
            f"""SELECT events_fts.rowid AS id, bm25(events_fts, 1.0, 0.0) AS score
                FROM events_fts {join} WHERE events_fts MATCH ? {conditions}
                ORDER BY score LIMIT ?""",
            match,
            *values,
            depth,
        )
        return [(row["id"], -row["score"]) for row in rows]

    def each(self, words: Sequence[str], ids: Sequence[int]) -> list[dict[int, float]]:
        """For each word its BM25 score in those of the events that contain it."""
        chosen = json.dumps(ids)
        return [
            {
                event_id: -score
                for event_id, score in self.store.tuples(
                    """SELECT rowid, bm25(events_fts, 1.0, 0.0) FROM events_fts
                       WHERE events_fts MATCH ?
                       AND +rowid IN (SELECT value FROM json_each(?))""",
                    f'text : "{word}"',
                    chosen,
                )
            }
            for word in words
        ]

    def holding(self, every: Sequence[str], one: Sequence[str] = ()) -> list[int]:
        """Ids of the events that contain all words of `every` and, if given, one of `one`."""
        needed = " AND ".join(f'"{word}"' for word in every)
        either = f" AND ({' OR '.join(one)})" if one else ""
        rows = self.store.tuples(
            "SELECT rowid FROM events_fts WHERE events_fts MATCH ?",
            f"ns : {self._inside} AND text : ({needed}{either})",
        )
        return [event_id for (event_id,) in rows]

    def _match(self, words: Sequence[str]) -> str:
        alternatives = " OR ".join(f'"{word}"' for word in words)
        return f"ns : {self._inside} AND text : ({alternatives})"

    def _rarest(self, words: list[str]) -> list[str]:
        """The words in their order, without the most frequent ones if too many events match."""
        if len(words) == 1 or self._count(words) <= _SCORED:
            return words
        counts = {word: self._count([word]) for word in words}
        kept: set[str] = set()
        total = 0
        for word in sorted(words, key=counts.__getitem__):
            total += counts[word]
            if any(counts[other] for other in kept) and total > _SCORED:
                break
            kept.add(word)
        return [word for word in words if word in kept]

    def _count(self, words: list[str]) -> int:
        """Number of events of the namespace with any of the words."""
        row = self.store.row(
            "SELECT count(*) AS n FROM events_fts WHERE events_fts MATCH ?", self._match(words)
        )
        return int(row["n"]) if row else 0
