"""Finding events by their words: BM25 over SQLite's FTS5, inside one namespace."""

from __future__ import annotations

import re
from typing import Any

from memagent.memory.events import Filter
from memagent.memory.store import Store

__all__ = ["Lexical", "content_words"]

# Words that stand in almost every event; they cost time and rank nothing.
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


def content_words(text: str) -> list[str]:
    """The distinct words of `text` in lower case without function words; all if none is left."""
    words = list(dict.fromkeys(word.lower() for word in _WORD.findall(text)))
    return [word for word in words if word not in _STOP] or words


class Lexical:
    """BM25 with stemming; any word of the question may match."""

    name = "lexical"

    def __init__(self, store: Store, namespace_id: int) -> None:
        self.store = store
        self.namespace_id = namespace_id

    def search(self, question: str, depth: int, which: Filter) -> list[tuple[int, float]]:
        """Up to `depth` (event id, BM25 score), best first; higher is better."""
        words = content_words(question)[:64]
        if not words:
            return []
        alternatives = " OR ".join(f'"{word}"' for word in words)
        match = f"ns : n{self.namespace_id} AND text : ({alternatives})"
        join, conditions, values = "", "", list[Any]()
        if which:
            join = """JOIN events e ON e.id = events_fts.rowid JOIN spans s ON s.id = e.span_id"""
            conditions, values = which.sql()
        rows = self.store.rows(
            f"""SELECT events_fts.rowid AS id, bm25(events_fts, 1.0, 0.0) AS score
                FROM events_fts {join} WHERE events_fts MATCH ? {conditions}
                ORDER BY score LIMIT ?""",
            match,
            *values,
            depth,
        )
        return [(row["id"], -row["score"]) for row in rows]
