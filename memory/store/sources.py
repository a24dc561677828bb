"""Namespaces and their sources: documents and sessions."""

from __future__ import annotations

import re
from typing import Any

from memagent.errors import NotFoundError, UsageError
from memagent.memory.store.database import Store, now
from memagent.memory.store.events import EARLIER
from memagent.types import Kind, Source

__all__ = ["Sources", "check_name"]

_NAME = re.compile(r"[^\W_][\w.@:+ -]{0,99}")


def check_name(name: str, what: str = "namespace") -> str:
    """Return `name` if it is a valid name of a namespace or session; raise UsageError if not."""
    if not _NAME.fullmatch(name) or ".." in name or name != name.strip():
        raise UsageError(
            f"{name!r} cannot name a {what}: use up to 100 letters, digits, spaces and "
            ". _ - + @ :, starting with a letter or digit, and without '..'"
        )
    return name


class Sources:
    """The sources of one namespace, which is created if it does not exist."""

    def __init__(self, store: Store, namespace: str) -> None:
        self.store = store
        self.namespace = check_name(namespace)
        row = store.row("SELECT id FROM namespaces WHERE name = ?", namespace)
        if row is None:
            with store.write() as db:
                db.execute(
                    "INSERT OR IGNORE INTO namespaces (name, created) VALUES (?, ?)",
                    [namespace, now()],
                )
            row = store.row("SELECT id FROM namespaces WHERE name = ?", namespace)
            assert row is not None
        self.namespace_id: int = row["id"]

    @staticmethod
    def namespaces(store: Store) -> list[dict[str, Any]]:
        """The name and the number of documents, sessions and characters of each namespace."""
        return store.rows(
            """SELECT n.name AS name,
                 coalesce(sum(s.kind = 'document'), 0) AS documents,
                 coalesce(sum(s.kind = 'session'), 0) AS sessions,
                 coalesce(sum(s.chars), 0) AS chars
               FROM namespaces n
               LEFT JOIN sources s ON s.namespace_id = n.id AND s.superseded IS NULL
               WHERE n.name NOT LIKE ? GROUP BY n.id ORDER BY n.name""",
            f"%{EARLIER}",
        )

    def all(self, kind: Kind | None = None) -> list[Source]:
        """The current sources, oldest first."""
        return self._select("AND (? IS NULL OR kind = ?) ORDER BY id", kind, kind)

    def find(self, name: str, kind: Kind | None = None) -> Source | None:
        """The current source with this name; documents take precedence over sessions."""
        return next(
            iter(
                self._select(
                    "AND name = ? AND (? IS NULL OR kind = ?)"
                    " ORDER BY kind, complete DESC, id DESC",
                    name,
                    kind,
                    kind,
                )
            ),
            None,
        )

    def get(self, name: str, kind: Kind | None = None) -> Source:
        """Like `find`, but raises NotFoundError, which lists the existing names."""
        source = self.find(name, kind)
        if source is None:
            known = [other.name for other in self.all(kind)]
            shown = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
            raise NotFoundError(
                f"no {kind or 'source'} {name!r} in the namespace {self.namespace!r}: "
                + (f"there are {shown}" if known else "it is empty")
            )
        return source

    def by_id(self, source_id: int) -> Source:
        """The source of this namespace with this id, superseded or not; else NotFoundError."""
        rows = self.store.rows(
            "SELECT * FROM sources WHERE id = ? AND namespace_id = ?", source_id, self.namespace_id
        )
        if not rows:
            raise NotFoundError(f"no source {source_id} in the namespace {self.namespace!r}")
        return self._source(rows[0])

    def versions(self, source: Source) -> list[int]:
        """The ids of all versions of a document, oldest first."""
        rows = self.store.rows(
            "SELECT id FROM sources WHERE namespace_id = ? AND kind = ? AND name = ? ORDER BY id",
            self.namespace_id,
            source.kind,
            source.name,
        )
        return [row["id"] for row in rows]

    def session(self, name: str) -> Source:
        """The session with this name, which is created if it does not exist."""
        found = self.find(check_name(name, "session"), "session")
        if found is not None:
            return found
        with self.store.write() as db:
            db.execute(
                """INSERT OR IGNORE INTO sources
                   (namespace_id, kind, name, complete, created, updated)
                   VALUES (?, 'session', ?, 1, ?, ?)""",
                [self.namespace_id, name, now(), now()],
            )
        return self.get(name, "session")

    def document_name(self, name: str, uri: str, path: str) -> str:
        """The name for the file at `uri`: `name`, or its full path `path` if `name` is taken.

        A file that is already stored keeps its name.
        """
        same = self._select("AND kind = 'document' AND uri = ? ORDER BY id DESC", uri)
        if same:
            return same[0].name
        taken = self.find(name, "document")
        return name if taken is None or taken.uri is None else path

    def begin_document(
        self, name: str, sha256: str, uri: str | None, media_type: str
    ) -> tuple[Source, bool]:
        """The source for a document, and whether the document is already complete.

        An interrupted import of a document with the same name and hash is resumed.
        """
        with self.store.write() as db:
            rows = self._select(
                "AND kind = 'document' AND name = ? AND sha256 = ? ORDER BY complete DESC",
                name,
                sha256,
            )
            if rows:
                return rows[0], rows[0].complete
            db.execute(
                """INSERT INTO sources
                   (namespace_id, kind, name, uri, sha256, media_type, created, updated)
                   VALUES (?, 'document', ?, ?, ?, ?, ?, ?)""",
                [self.namespace_id, name, uri, sha256, media_type, now(), now()],
            )
            made = self._select("AND id = last_insert_rowid()")[0]
        return made, False

    def finish_document(self, source: Source) -> int | None:
        """Mark a document complete; returns the id of the version it supersedes, if any.

        The superseded text is kept for existing citations but is no longer recalled.
        """
        with self.store.write() as db:
            old = self.store.row(
                """SELECT id FROM sources WHERE namespace_id = ? AND kind = 'document' AND name = ?
                   AND complete = 1 AND superseded IS NULL AND id <> ?""",
                self.namespace_id,
                source.name,
                source.id,
            )
            if old:
                db.execute("UPDATE sources SET superseded = ? WHERE id = ?", [now(), old["id"]])
            db.execute(
                "UPDATE sources SET complete = 1, updated = ? WHERE id = ?", [now(), source.id]
            )
        return old["id"] if old else None

    def discard_empty(self, source: Source) -> None:
        """Remove an incomplete document if it has no text."""
        with self.store.write() as db:
            db.execute(
                """DELETE FROM sources WHERE id = ? AND complete = 0
                   AND NOT EXISTS (SELECT 1 FROM spans WHERE source_id = sources.id)""",
                [source.id],
            )

    def _select(self, rest: str, *parameters: Any) -> list[Source]:
        rows = self.store.rows(
            f"SELECT * FROM sources WHERE namespace_id = ? AND superseded IS NULL {rest}",
            self.namespace_id,
            *parameters,
        )
        return [self._source(row) for row in rows]

    def _source(self, row: dict[str, Any]) -> Source:
        return Source(
            id=row["id"],
            namespace=self.namespace,
            kind=row["kind"],
            name=row["name"],
            uri=row["uri"],
            sha256=row["sha256"],
            media_type=row["media_type"],
            chars=row["chars"],
            complete=bool(row["complete"]),
            created=row["created"],
            updated=row["updated"],
        )
