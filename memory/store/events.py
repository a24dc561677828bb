"""The events of a namespace: cut from spans, indexed for full-text search, read with their text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlite_utils import Database

from memagent.memory.events import Filter
from memagent.memory.segmentation.scorer import UnscoredError
from memagent.memory.segmentation.sentences import Segmenter
from memagent.memory.store.database import Store
from memagent.memory.store.spans import NOT_SEGMENTED
from memagent.memory.store.surprises import Surprises
from memagent.types import Event

__all__ = ["EARLIER", "FIELDS", "Events"]

# The columns of an Event in field order, from events `e`, their spans `s` and sources `src`.
FIELDS = """e.id, e.source_id, src.name, src.kind, e.start, e."end",
    substr(s.text, e.start - s.start + 1, e."end" - e.start), s.page, s.section, s.role, s.time"""
_FROM = """FROM events e JOIN spans s ON s.id = e.span_id
    JOIN sources src ON src.id = e.source_id"""
_OPENING = 64  # characters
# Suffix of the namespace that holds the events of earlier document versions. User-chosen names
# cannot contain parentheses.
EARLIER = " (earlier versions)"
_BOTH = f"""(SELECT id FROM namespaces WHERE id = ?1
    OR name = (SELECT name || '{EARLIER}' FROM namespaces WHERE id = ?1))"""


class Events:
    """The events of one namespace. Reads also include those of the namespace `also`, if given."""

    def __init__(self, store: Store, namespace_id: int, also: int | None = None) -> None:
        self.store = store
        self.namespace_id = namespace_id
        self._inside = f"= {namespace_id}" if also is None else f"IN ({namespace_id}, {also})"
        self.surprises = Surprises(store)

    def segment_pending(self, segmenter: Segmenter, limit: int = 16) -> int:
        """Cut up to `limit` spans that have no events yet; returns the number of spans cut.

        Cutting may take seconds, so it is done before the store is locked.
        """
        pending = self._to_cut("s.segmenter IS NULL ORDER BY s.source_id, s.id LIMIT ?", limit)
        if pending:
            self.cut(
                pending,
                segmenter,
                lambda span: self._to_cut("s.segmenter IS NULL AND s.id = ?", span),
            )
        return len(pending)

    def cut(
        self,
        pending: list[dict[str, Any]],
        segmenter: Segmenter,
        again: Callable[[int], list[dict[str, Any]]],
    ) -> None:
        """Cut span rows into events and store them.

        `again` reloads a span's row by id and returns no row if the span no longer needs cutting.
        """
        cuts = self.surprises.cut(pending, segmenter)
        with self.store.write() as db:
            for row, events in zip(pending, cuts, strict=True):
                # Reload under the write lock: another process may have cut the span in the
                # meantime, or redacted part of it. The next call cuts a redacted span again.
                if row in again(row["id"]):
                    self._insert(db, row, events, segmenter.id)

    def recut(self, source_id: int, segmenter: Segmenter) -> int:
        """Cut a whole source again, in text order and in one transaction.

        Returns the number of spans that need surprise values which are neither stored nor
        computable because the scorer is unavailable. If there are any, the events stay unchanged.
        New surprise values are stored in either case, even if the source was already cut by this
        segmenter.
        """
        while True:
            spans = self._to_cut("s.source_id = ? ORDER BY s.ordinal", source_id)
            cuts: list[list[tuple[int, int]]] = []
            missing = 0
            for span in spans:
                try:
                    cuts += self.surprises.cut([span], segmenter)
                except UnscoredError:
                    missing += 1
            if all(span["segmenter"] == segmenter.id for span in spans):
                return 0
            if missing:
                return missing
            with self.store.write() as db:
                # If spans were added or redacted in the meantime, start over.
                if self._to_cut("s.source_id = ? ORDER BY s.ordinal", source_id) == spans:
                    self.drop("source_id = ?", source_id)
                    for span, events in zip(spans, cuts, strict=True):
                        self._insert(db, span, events, segmenter.id)
                    return 0

    def get(self, ids: Sequence[int]) -> list[Event]:
        """The events with these ids, in the given order; ids of other namespaces are skipped."""
        found = {
            event.id: event
            for event in self._read("e.id IN (SELECT value FROM json_each(?))", json.dumps(ids))
        }
        return [found[i] for i in ids if i in found]

    def with_openings(self, ids: Sequence[int], where: Filter) -> list[tuple[Event, str]]:
        """The events that pass the filter, in order of id, each with the opening of its span."""
        conditions, values = where.sql()
        # The unary plus makes SQLite look rows up by id instead of using the namespace index.
        rows = self.store.tuples(
            f"""SELECT substr(s.text, 1, {_OPENING}), {FIELDS} {_FROM}
                WHERE +e.namespace_id {self._inside}
                AND e.id IN (SELECT value FROM json_each(?)) {conditions} ORDER BY e.id""",
            json.dumps(ids),
            *values,
        )
        return [(Event(*fields), opening) for opening, *fields in rows]

    def sources_of(self, ids: Sequence[int]) -> list[tuple[int, int]]:
        """(event id, source id) of the ids that are in this namespace, in order of id."""
        # The unary plus serves the same purpose as in `with_openings`.
        return self.store.tuples(
            f"""SELECT id, source_id FROM events WHERE +namespace_id {self._inside}
                AND id IN (SELECT value FROM json_each(?)) ORDER BY id""",
            json.dumps(ids),
        )

    def after(self, event_id: int, limit: int) -> list[Event]:
        """Up to `limit` events with ids above `event_id`, in order of id."""
        return self._read("e.id > ? ORDER BY e.id LIMIT ?", event_id, limit)

    def of(self, source_id: int) -> list[Event]:
        """The events of a source in text order."""
        return self._read("e.source_id = ? ORDER BY e.start", source_id)

    def neighbours(self, event: Event, where: Filter) -> list[Event]:
        """The nearest events before and after in the same source that pass the filter."""
        conditions, values = where.sql()
        return [
            found
            for side, order in (("<", "DESC"), (">", "ASC"))
            for found in self._read(
                f"""e.source_id = ? AND e.start {side} ? {conditions}
                    ORDER BY e.start {order} LIMIT 1""",
                event.source_id,
                event.start,
                *values,
            )
        ]

    def allowed(self, where: Filter) -> list[int]:
        """The ids of the events that pass the filter, ascending."""
        conditions, values = where.sql()
        rows = self.store.rows(
            f"""SELECT e.id FROM events e JOIN spans s ON s.id = e.span_id
                WHERE e.namespace_id {self._inside} {conditions} ORDER BY e.id""",
            *values,
        )
        return [row["id"] for row in rows]

    def count_after(self, event_id: int = 0) -> int:
        """The number of events with ids above `event_id`; by default, of all events."""
        row = self.store.row(
            "SELECT count(*) AS n FROM events WHERE namespace_id = ? AND id > ?",
            self.namespace_id,
            event_id,
        )
        return int(row["n"]) if row else 0

    def drop(self, condition: str, *parameters: Any) -> int:
        """Delete the events that meet an SQL condition; returns how many.

        Their vectors and full-text index entries are deleted with them; the text of the spans is
        kept. The condition also applies to the events of earlier document versions.
        """
        with self.store.write() as db:
            ids = [
                row["id"]
                for row in self.store.rows(
                    f"SELECT id FROM events WHERE namespace_id IN {_BOTH} AND {condition}",
                    self.namespace_id,
                    *parameters,
                )
            ]
            if ids:
                self._delete(db, ids)
        return len(ids)

    def reset(self) -> None:
        """Drop every event and mark all spans as pending, except those that are never cut."""
        with self.store.write() as db:
            self.drop("1")
            db.execute(
                """UPDATE spans SET segmenter = NULL WHERE segmenter <> ? AND source_id IN
                   (SELECT id FROM sources WHERE namespace_id = ? AND superseded IS NULL)""",
                [NOT_SEGMENTED, self.namespace_id],
            )

    def _read(self, condition: str, *parameters: Any) -> list[Event]:
        return [
            Event(*row)
            for row in self.store.tuples(
                f"SELECT {FIELDS} {_FROM} WHERE e.namespace_id {self._inside} AND {condition}",
                *parameters,
            )
        ]

    def _to_cut(self, condition: str, *parameters: Any) -> list[dict[str, Any]]:
        """Rows of the spans that are, or can be, cut into events."""
        return self.store.rows(
            f"""SELECT s.* FROM spans s JOIN sources src ON src.id = s.source_id
                WHERE src.namespace_id = ? AND src.superseded IS NULL
                AND s.segmenter IS NOT '{NOT_SEGMENTED}' AND {condition}""",
            self.namespace_id,
            *parameters,
        )

    def _insert(
        self, db: Database, span: dict[str, Any], events: Iterable[tuple[int, int]], segmenter: str
    ) -> None:
        for start, end in events:
            offset = span["start"]
            cursor = db.execute(
                """INSERT INTO events (namespace_id, source_id, span_id, start, "end")
                   VALUES (?, ?, ?, ?, ?)""",
                [self.namespace_id, span["source_id"], span["id"], offset + start, offset + end],
            )
            db.execute(
                """INSERT INTO events_fts (rowid, text, ns)
                   SELECT id, text, ns FROM event_texts WHERE id = ?""",
                [cursor.lastrowid],
            )
        db.execute("UPDATE spans SET segmenter = ? WHERE id = ?", [segmenter, span["id"]])

    def _delete(self, db: Database, ids: Iterable[int]) -> None:
        for event_id in ids:
            # The full-text index keeps no copy of the text, so deleting needs the original text.
            db.execute(
                """INSERT INTO events_fts (events_fts, rowid, text, ns)
                   SELECT 'delete', id, text, ns FROM event_texts WHERE id = ?""",
                [event_id],
            )
            db.execute(
                """UPDATE vector_sets SET count = count - 1 WHERE (namespace_id, embedder) IN
                   (SELECT namespace_id, embedder FROM vectors WHERE event_id = ?)""",
                [event_id],
            )
            db.execute("DELETE FROM events WHERE id = ?", [event_id])
        mine = [self.namespace_id]
        db.execute(f"UPDATE namespaces SET epoch = epoch + 1 WHERE id IN {_BOTH}", mine)
        # Index files still contain the deleted events, so they are no longer expected to be valid.
        db.execute(f"UPDATE vector_sets SET saved = 0 WHERE namespace_id IN {_BOTH}", mine)
