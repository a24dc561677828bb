"""Replaced versions of documents, searched as of a time when they were current.

Their events are dropped when a version is replaced, so that ordinary recall costs nothing for them.
They are segmented and embedded again when a time is first asked for at which they were current, and
kept in a separate namespace that users cannot open by name.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

from memagent.memory.index.encoder import Encoder
from memagent.memory.index.vector_index import VectorIndex
from memagent.memory.recall.dense import Dense, Joined
from memagent.memory.recall.lexical import Lexical
from memagent.memory.recall.search import Search
from memagent.memory.segmentation.sentences import Segmenter
from memagent.memory.store.database import now
from memagent.memory.store.events import EARLIER, Events
from memagent.memory.store.sources import Sources
from memagent.memory.store.spans import NOT_SEGMENTED
from memagent.memory.store.vectors import Vectors

__all__ = ["Versions"]

logger = logging.getLogger(__name__)

_EMBED_BATCH = 128  # events
# Spans of documents of a namespace that were replaced after a moment and stored by then.
_REPLACED = f"""FROM spans s JOIN sources src ON src.id = s.source_id
    WHERE src.namespace_id = ? AND src.kind = 'document' AND src.superseded > ?
    AND s.time <= ? AND s.segmenter IS NOT '{NOT_SEGMENTED}'"""


class Versions:
    """The earlier versions of the documents of one namespace.

    Logs a line before it embeds a version, which may take a while.
    """

    def __init__(
        self,
        sources: Sources,
        embedder: Encoder,
        index_dir: Path,
        segmenter: Segmenter,
    ) -> None:
        self.store = sources.store
        self.name = sources.namespace + EARLIER
        self.namespace_id = sources.namespace_id
        self.embedder = embedder
        self.index_dir = index_dir
        self.segmenter = segmenter
        self._lock = threading.RLock()
        self._dense: Dense | None = None

    def search(self, as_of: str, current: Dense) -> Search | None:
        """A search over `current` and the versions that were current at `as_of`, ISO 8601 UTC.

        None if no version of that time has been replaced since.
        """
        if not self.store.rows(f"SELECT 1 {_REPLACED} LIMIT 1", self.namespace_id, as_of, as_of):
            return None
        with self._lock:
            here = self._namespace()
            self._cut(here, as_of)
            dense = self._embedded(here)
        return Search(
            Events(self.store, self.namespace_id, here),
            Lexical(self.store, self.namespace_id, here),
            Joined(current, dense),
            self.embedder,
        )

    def _namespace(self) -> int:
        with self.store.write() as db:
            db.execute(
                "INSERT OR IGNORE INTO namespaces (name, created) VALUES (?, ?)",
                [self.name, now()],
            )
            row = self.store.row("SELECT id FROM namespaces WHERE name = ?", self.name)
        assert row is not None
        return int(row["id"])

    def _cut(self, here: int, as_of: str) -> None:
        events = Events(self.store, here)
        missing = self._missing(as_of)
        names = dict.fromkeys(row["name"] for row in missing)
        if names:
            logger.info("reading as it stood then: %s", ", ".join(names))
        for row in missing:
            events.cut([row], self.segmenter, lambda span: self._missing(as_of, span))

    def _missing(self, as_of: str, span: int | None = None) -> list[dict[str, Any]]:
        """The spans that were current then and have no events, or one of them by id."""
        rows = self.store.rows(
            f"""SELECT s.*, src.name AS name {_REPLACED} AND (? IS NULL OR s.id = ?)
                AND NOT EXISTS (SELECT 1 FROM events e WHERE e.span_id = s.id)
                ORDER BY s.source_id, s.ordinal""",
            self.namespace_id,
            as_of,
            as_of,
            span,
            span,
        )
        return [row for row in rows if any(map(str.isalnum, row["text"]))]

    def _embedded(self, here: int) -> Dense:
        events = Events(self.store, here)
        if self._dense is None:
            path = self.index_dir / f"{here}-{self.embedder.id}.faiss"
            vectors = Vectors(self.store, here, self.embedder.id, self.embedder.dim)
            # Built from the store each time and never written, so there is nothing to purge.
            index = VectorIndex(path, self.embedder.dim)
            self._dense = Dense(vectors, index, self._lock)
        vectors = self._dense.vectors
        while new := events.after(vectors.size()[1], _EMBED_BATCH):
            vectors.append([e.id for e in new], self.embedder.encode([e.text for e in new]))
        return self._dense
