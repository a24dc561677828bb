"""The vectors of events, by embedder. Index files are caches of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from memagent.memory.store.database import Store

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Vectors"]


class Vectors:
    """The unit vectors of one namespace and embedder, stored as float16."""

    def __init__(self, store: Store, namespace_id: int, embedder: str, dim: int) -> None:
        self.store = store
        self.namespace_id = namespace_id
        self.embedder = embedder
        self.dim = dim

    def size(self) -> tuple[int, int, bool]:
        """The number of vectors, the highest embedded event id, whether an index file exists."""
        row = self.store.row(
            "SELECT * FROM vector_sets WHERE namespace_id = ? AND embedder = ?",
            self.namespace_id,
            self.embedder,
        )
        return (row["count"], row["through"], bool(row["saved"])) if row else (0, 0, False)

    def epoch(self) -> int:
        """A counter that increases whenever events or vectors of the namespace are deleted."""
        row = self.store.row("SELECT epoch FROM namespaces WHERE id = ?", self.namespace_id)
        return int(row["epoch"]) if row else 0

    def append(
        self, ids: Sequence[int], vectors: np.ndarray, tokens: Sequence[bytes | None] | None = None
    ) -> None:
        """Store vectors [len(ids), dim] and token codes of events with ascending ids.

        Events are embedded in order of id, so ids up to the highest stored one have already been
        added by another process and are skipped, as are events deleted in the meantime.
        """
        import numpy as np

        halves = vectors.astype(np.float16)
        with self.store.write() as db:
            _, through, _ = self.size()
            added = 0
            coded = tokens or [None] * len(ids)
            for event_id, vector, codes in zip(ids, halves, coded, strict=True):
                if event_id <= through:
                    continue
                cursor = db.execute(
                    """INSERT INTO vectors (namespace_id, embedder, event_id, vector, tokens)
                       SELECT ?, ?, id, ?, ? FROM events WHERE id = ?""",
                    [self.namespace_id, self.embedder, vector.tobytes(), codes, event_id],
                )
                added += cursor.rowcount
            db.execute(
                """INSERT INTO vector_sets (namespace_id, embedder, count, through)
                   VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET
                   count = count + excluded.count, through = max(through, excluded.through)""",
                [self.namespace_id, self.embedder, added, max(ids, default=0)],
            )

    def after(self, event_id: int, block: int = 4096) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        """Yield (event ids int64 [n], vectors float32 [n, dim]) above `event_id`, in blocks."""
        import numpy as np

        while True:
            rows = self.store.rows(
                """SELECT event_id, vector FROM vectors
                   WHERE namespace_id = ? AND embedder = ? AND event_id > ?
                   ORDER BY event_id LIMIT ?""",
                self.namespace_id,
                self.embedder,
                event_id,
                block,
            )
            if not rows:
                return
            ids = np.array([row["event_id"] for row in rows], dtype=np.int64)
            flat = np.frombuffer(b"".join(row["vector"] for row in rows), dtype=np.float16)
            yield ids, flat.reshape(len(rows), self.dim).astype(np.float32)
            event_id = int(ids[-1])

    def tokens(self, ids: Sequence[int]) -> dict[int, bytes | None]:
        """The token codes of these events, by event id."""
        return dict(
            self.store.tuples(
                """SELECT event_id, tokens FROM vectors WHERE namespace_id = ? AND embedder = ?
                   AND event_id IN (SELECT value FROM json_each(?))""",
                self.namespace_id,
                self.embedder,
                json.dumps(ids),
            )
        )

    def mark_saved(self, saved: bool = True) -> None:
        """Record whether an index file exists, so that a missing file can be detected."""
        with self.store.write() as db:
            db.execute(
                "UPDATE vector_sets SET saved = ? WHERE namespace_id = ? AND embedder = ?",
                [saved, self.namespace_id, self.embedder],
            )

    def reset(self) -> None:
        """Delete the vectors of the namespace for all embedders and clear the saved flags."""
        with self.store.write() as db:
            db.execute("DELETE FROM vectors WHERE namespace_id = ?", [self.namespace_id])
            db.execute("DELETE FROM vector_sets WHERE namespace_id = ?", [self.namespace_id])
            db.execute("UPDATE namespaces SET epoch = epoch + 1 WHERE id = ?", [self.namespace_id])
