"""Which rows of a scripted batch are done, so that a killed one goes on where it stopped."""

from __future__ import annotations

import uuid

from memagent.memory.store import Store, now

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

    def record(self, row_id: str, operation: str, status: str, detail: str | None) -> None:
        """Remember the end of a row: 'ok', or 'error' with the message."""
        with self.store.write() as db:
            db.execute(
                """INSERT OR REPLACE INTO batch_rows
                   (batch_id, row_id, operation, status, detail, finished)
                   VALUES (?, ?, ?, ?, ?, ?)""",
                [self.id, row_id, operation, status, detail, now()],
            )

    def statuses(self) -> dict[str, str]:
        """Status of every row that ended, by row id."""
        rows = self.store.rows("SELECT row_id, status FROM batch_rows WHERE batch_id = ?", self.id)
        return {row["row_id"]: row["status"] for row in rows}
