"""Scripted batches, known by the file of their results, and what their rows began.

Which rows ended is in that file; a turn or a document carries its row's key itself. Only what
leaves no trace of its own, such as forgetting, is recorded here.
"""

from __future__ import annotations

import uuid

from memagent.memory.store.database import Store, now

__all__ = ["Batches"]


class Batches:
    """One batch, known by the file its results go to."""

    def __init__(self, store: Store, output: str, *, resume: bool) -> None:
        self.store = store
        row = store.row(
            "SELECT id FROM batches WHERE output = ? ORDER BY created DESC LIMIT 1", output
        )
        if resume and row:
            self.id: str = row["id"]
            return
        self.id = uuid.uuid4().hex
        with store.write() as db:
            db.execute(
                "INSERT INTO batches (id, output, created) VALUES (?, ?, ?)",
                [self.id, output, now()],
            )

    def begin(self, row_id: str, operation: str, detail: str) -> None:
        """Remember that a row is about to do what cannot be done twice, and what it will do."""
        with self.store.write() as db:
            db.execute(
                """INSERT OR IGNORE INTO batch_rows
                   (batch_id, row_id, operation, status, detail, finished)
                   VALUES (?, ?, ?, 'begun', ?, ?)""",
                [self.id, row_id, operation, detail, now()],
            )

    def begun(self, row_id: str) -> str | None:
        """The detail with which a row began, if it did."""
        row = self.store.row(
            "SELECT detail FROM batch_rows WHERE batch_id = ? AND row_id = ?", self.id, row_id
        )
        return str(row["detail"]) if row else None
