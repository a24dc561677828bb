"""Batches, identified by their output file, and the operations that their rows have begun.

Finished rows are listed in the output file, and turns and documents carry the key of their row.
Only operations that leave no other trace, such as forgetting, are recorded here.
"""

from __future__ import annotations

import uuid

from memagent.memory.store.database import Store, now

__all__ = ["Batches"]


class Batches:
    """One batch, identified by its output file."""

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
        """Record that a row is about to start an operation that must not be repeated."""
        with self.store.write() as db:
            db.execute(
                """INSERT OR IGNORE INTO batch_rows
                   (batch_id, row_id, operation, status, detail, finished)
                   VALUES (?, ?, ?, 'begun', ?, ?)""",
                [self.id, row_id, operation, detail, now()],
            )

    def begun(self, row_id: str) -> str | None:
        """The detail recorded by `begin` for a row, or None."""
        row = self.store.row(
            "SELECT detail FROM batch_rows WHERE batch_id = ? AND row_id = ?", self.id, row_id
        )
        return str(row["detail"]) if row else None
