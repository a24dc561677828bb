"""Working memory and plans of a session: short numbered lines, one version a change.

They are text that a person or a model wrote on purpose; no recalled text can write them.
"""

from __future__ import annotations

import difflib
import json
from typing import Literal

from memagent.memory.errors import NotFoundError
from memagent.memory.spans import check_text
from memagent.memory.store import Store, now

__all__ = ["Working"]


class Working:
    """The lines of one kind in one session; every version is kept."""

    def __init__(
        self, store: Store, session_id: int, kind: Literal["memory", "plan"] = "memory"
    ) -> None:
        self.store = store
        self.session_id = session_id
        self.kind = kind

    def lines(self, version: int | None = None) -> list[str]:
        """The lines now, or of a version (version 0 is empty)."""
        if version == 0:
            return []
        row = self.store.row(
            """SELECT lines FROM working WHERE session_id = ? AND kind = ?
               AND (? IS NULL OR version = ?) ORDER BY version DESC LIMIT 1""",
            self.session_id,
            self.kind,
            version,
            version,
        )
        if row is None and version is not None:
            raise NotFoundError(f"the {self.kind} of this session has no version {version}")
        lines: list[str] = json.loads(row["lines"]) if row else []
        return lines

    @property
    def version(self) -> int:
        """The number of the newest version, 0 before the first."""
        row = self.store.row(
            "SELECT max(version) AS v FROM working WHERE session_id = ? AND kind = ?",
            self.session_id,
            self.kind,
        )
        return int(row["v"] or 0) if row else 0

    def replace(self, lines: list[str], reason: str) -> int:
        """Store a new version; returns its number. Blank lines are left out."""
        kept = [check_text(line.strip()) for line in lines if line.strip()]
        with self.store.write() as db:
            version = self.version + 1
            db.execute(
                """INSERT INTO working (session_id, kind, version, lines, reason, created)
                   VALUES (?, ?, ?, ?, ?, ?)""",
                [self.session_id, self.kind, version, json.dumps(kept), reason, now()],
            )
        return version

    def undo(self) -> int:
        """Go back to the lines before the last change, as a new version."""
        if self.version == 0:
            raise NotFoundError(f"the {self.kind} of this session has nothing to undo")
        return self.replace(self.lines(self.version - 1), "undo")

    def diff(self) -> list[str]:
        """What the last change did, as lines of a unified diff."""
        version = self.version
        if version == 0:
            return []
        before, after = self.lines(version - 1), self.lines(version)
        return list(
            difflib.unified_diff(
                before, after, f"version {version - 1}", f"version {version}", lineterm=""
            )
        )
