"""The verbatim text: spans of documents and turns of sessions, append-only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memagent.errors import InputError, NotFoundError
from memagent.memory.store.database import Store, now
from memagent.types import Piece, Role, Span

__all__ = ["NOT_SEGMENTED", "Spans"]

# Value of spans.segmenter for spans that are never cut into events.
NOT_SEGMENTED = ""

_COLUMNS = 'id, source_id, ordinal, start, "end", text, page, section, role, time, withdrawn'


class Spans:
    """Appends spans to sources and reads their exact text."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def append_pieces(self, source_id: int, pieces: Sequence[Piece], after: int) -> int:
        """Append pieces of a document after its first `after` spans; returns its number of spans.

        Pieces that another process has already added are skipped.
        """
        for piece in pieces:
            check_text(piece.text)
        with self.store.write() as db:
            count, chars = self._size(source_id)
            moment = now()
            for ordinal, piece in enumerate(pieces, start=after):
                if ordinal < count:
                    continue
                end = chars + len(piece.text)
                db.execute(
                    """INSERT INTO spans
                       (source_id, ordinal, start, "end", text, page, section, time)
                       VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
                    [source_id, ordinal, chars, end, piece.text, piece.page, piece.section, moment],
                )
                count, chars = ordinal + 1, end
            db.execute("UPDATE sources SET chars = ? WHERE id = ?", [chars, source_id])
        return count

    def append_turn(
        self,
        session_id: int,
        role: Role,
        text: str,
        *,
        time: str | None = None,
        key: str | None = None,
        segment: bool = True,
    ) -> Span:
        """Append a turn and commit it. A repeated call with the same `key` has no effect."""
        check_text(text)
        with self.store.write() as db:
            if key is not None and (found := self._by_key(session_id, key)):
                return found
            count, chars = self._size(session_id)
            moment = now()
            db.execute(
                """INSERT INTO spans
                   (source_id, ordinal, start, "end", text, role, time, key, segmenter)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
                [
                    session_id,
                    count,
                    chars,
                    chars + len(text),
                    text,
                    role,
                    time or moment,
                    key,
                    None if segment else NOT_SEGMENTED,
                ],
            )
            span = self._select("id = last_insert_rowid()")[0]
            db.execute(
                "UPDATE sources SET chars = ?, updated = ? WHERE id = ?",
                [chars + len(text), moment, session_id],
            )
        return span

    def keys(self, source_id: int) -> dict[int, str]:
        """The keys of the turns of a source, including withdrawn ones, by span id, in order."""
        rows = self.store.tuples(
            "SELECT id, key FROM spans WHERE source_id = ? AND key IS NOT NULL ORDER BY ordinal",
            source_id,
        )
        return dict(rows)

    def count(self, source_id: int) -> int:
        """The number of spans of a source."""
        return self._size(source_id)[0]

    def get(self, span_id: int) -> Span:
        """The span with this id; raises NotFoundError if there is none."""
        spans = self._select("id = ?", span_id)
        if not spans:
            raise NotFoundError(f"no turn {span_id} in the store")
        return spans[0]

    def of(self, source_id: int, *, last: int | None = None, withdrawn: bool = True) -> list[Span]:
        """The spans of a source in order; if `last` is given, only that many from the end."""
        where = "source_id = ?" + ("" if withdrawn else " AND withdrawn IS NULL")
        if last is None:
            return self._select(f"{where} ORDER BY ordinal", source_id)
        return self._select(f"{where} ORDER BY ordinal DESC LIMIT ?", source_id, last)[::-1]

    def text(self, source_id: int, start: int = 0, end: int | None = None) -> str:
        """The stored text of a source at the characters [start, end)."""
        spans = self._select(
            'source_id = ? AND "end" > ? AND (? IS NULL OR start < ?) ORDER BY ordinal',
            source_id,
            start,
            end,
            end,
        )
        if not spans:
            return ""
        offset = spans[0].start
        text = "".join(span.text for span in spans)
        return text[start - offset : None if end is None else end - offset]

    def at(self, source_id: int, offset: int) -> Span:
        """The span of a source that contains the character at `offset`; else NotFoundError."""
        spans = self._select(
            'source_id = ? AND start <= ? AND "end" > ?', source_id, offset, offset
        )
        if not spans:
            raise NotFoundError(f"the source {source_id} has no character {offset}")
        return spans[0]

    def withdraw(self, span_id: int) -> None:
        """Mark a turn as withdrawn and exclude it from cutting; its text is kept."""
        with self.store.write() as db:
            db.execute(
                "UPDATE spans SET withdrawn = ?, segmenter = ? WHERE id = ?",
                [now(), NOT_SEGMENTED, span_id],
            )

    def _size(self, source_id: int) -> tuple[int, int]:
        row = self.store.row(
            """SELECT ordinal + 1 AS count, "end" AS chars FROM spans WHERE source_id = ?
               ORDER BY ordinal DESC LIMIT 1""",
            source_id,
        )
        return (row["count"], row["chars"]) if row else (0, 0)

    def _by_key(self, source_id: int, key: str) -> Span | None:
        return next(iter(self._select("source_id = ? AND key = ?", source_id, key)), None)

    def _select(self, where: str, *parameters: Any) -> list[Span]:
        rows = self.store.rows(f"SELECT {_COLUMNS} FROM spans WHERE {where}", *parameters)
        return [Span(**{**row, "withdrawn": row["withdrawn"] is not None}) for row in rows]


def check_text(text: str) -> str:
    """Return `text` if it can be encoded as UTF-8; raise InputError if not."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"the text is not valid Unicode at character {error.start}: "
            "save it as UTF-8 and try again"
        ) from error
    return text
