"""Forgetting: text is overwritten in its spans, and everything derived from it goes.

The overwritten characters become as many blocks, so that the offsets of all other citations stay.
The surprise of a span goes with its text by the triggers of the schema.
"""

from __future__ import annotations

import re

from memagent.memory.store.database import Store, now
from memagent.memory.store.events import Events
from memagent.memory.store.spans import NOT_SEGMENTED, Spans
from memagent.memory.store.working import forget_lines
from memagent.types import Source

__all__ = ["BLOCK", "forget_range", "forget_source"]

BLOCK = "\u2588"


def forget_range(store: Store, events: Events, source_id: int, start: int, end: int) -> int:
    """Forget the characters [start, end) of a source, every answer's quote of them, and the lines
    of working memory that come from turns with some of them.

    Returns the number of characters overwritten in the source. Events that overlap the range are
    dropped and cut anew from what is left.
    """
    spans = Spans(store)
    with store.write():
        gone = spans.text(source_id, start, end)
        _redact_answers(store, events, source_id, start, end)
        _redact_reports(store, source_id, start, end)
        events.drop('source_id = ? AND start < ? AND "end" > ?', source_id, end, start)
        overlapping = 'source_id = ? AND start < ? AND "end" > ?'
        rows = store.rows(f"SELECT * FROM spans WHERE {overlapping}", source_id, end, start)
        forget_lines(store, source_id, [row["id"] for row in rows])
        for row in rows:
            a, b = max(start, row["start"]) - row["start"], min(end, row["end"]) - row["start"]
            text = row["text"][:a] + BLOCK * (b - a) + row["text"][b:]
            _overwrite(store, events, row["id"], text)
    return len(gone) - gone.count(BLOCK)


def forget_source(store: Store, events: Events, source: Source) -> int:
    """Forget a whole document, with the versions that it took the place of, or a session; its name
    is free again. Returns the characters."""
    forgotten = 0
    with store.write() as db:
        versions = store.rows(
            """SELECT id, chars FROM sources WHERE kind = ? AND name = ?
               AND namespace_id = (SELECT namespace_id FROM sources WHERE id = ?)""",
            source.kind,
            source.name,
            source.id,
        )
        for version in versions:
            forgotten += forget_range(store, events, version["id"], 0, version["chars"])
            db.execute(
                "UPDATE spans SET segmenter = ?, section = NULL, key = NULL WHERE source_id = ?",
                [NOT_SEGMENTED, version["id"]],
            )
            db.execute("DELETE FROM working WHERE session_id = ?", [version["id"]])
            db.execute(
                """UPDATE sources SET superseded = ?, name = 'forgotten', uri = NULL, sha256 = NULL
                   WHERE id = ?""",
                [now(), version["id"]],
            )
    return forgotten


def _redact_answers(store: Store, events: Events, source_id: int, start: int, end: int) -> None:
    """Overwrite the quoted text in the answers that cite it, and drop those citations."""
    spans = Spans(store)
    rows = store.rows(
        """SELECT c.answer_id, c.position, c.start, c."end", a.answer_span
           FROM citations c JOIN answers a ON a.id = c.answer_id
           WHERE c.source_id = ? AND c.start < ? AND c."end" > ?""",
        source_id,
        end,
        start,
    )
    with store.write() as db:
        for row in rows:
            quote = spans.text(source_id, row["start"], row["end"])
            if row["answer_span"] is not None and quote:
                said = spans.get(row["answer_span"]).text
                _overwrite(store, events, row["answer_span"], _without(said, quote))
            db.execute(
                """UPDATE citations SET source_id = NULL, start = NULL, "end" = NULL,
                   valid_from = NULL, valid_until = NULL, verified = 0, claim = 'forgotten'
                   WHERE answer_id = ? AND position = ?""",
                [row["answer_id"], row["position"]],
            )


def _redact_reports(store: Store, source_id: int, start: int, end: int) -> None:
    """Drop what a model wrote for its own use with the text in view: questions and headings."""
    with store.write() as db:
        rows = store.rows(
            """SELECT id FROM answers WHERE explain LIKE '%"step"%' AND EXISTS (
                   SELECT 1 FROM json_each(explain, '$.chosen') WHERE value ->> 'source_id' = ?
                   AND value ->> 'start' < ? AND value ->> 'end' > ?)""",
            source_id,
            end,
            start,
        )
        for row in rows:
            db.execute("DELETE FROM outline_points WHERE answer_id = ?", [row["id"]])
            db.execute("UPDATE prompt_events SET note = '' WHERE answer_id = ?", [row["id"]])
            db.execute(
                """UPDATE answers SET explain = json_set(
                       explain, '$.questions', json('[]'), '$.trace', json('[]'),
                       '$.outline', json('[]'), '$.log.shown', json((
                           SELECT json_group_array(json_set(value, '$[3]', ''))
                           FROM json_each(explain, '$.log.shown'))))
                   WHERE id = ?""",
                [row["id"]],
            )


def _without(said: str, quote: str) -> str:
    """An answer without the words of `quote`, and without each line that stands in it; white
    space may differ."""
    said = re.sub(_loose(quote), lambda match: BLOCK * len(match[0]), said)
    return "\n".join(
        BLOCK * len(line) if line.strip() and re.search(_loose(line), quote) else line
        for line in said.split("\n")
    )


def _loose(text: str) -> str:
    return r"\s+".join(map(re.escape, text.split()))


def _overwrite(store: Store, events: Events, span_id: int, text: str) -> None:
    """Replace a span's text by one of the same length, and have its events cut anew."""
    with store.write() as db:
        events.drop("span_id = ?", span_id)
        db.execute(
            """UPDATE spans SET text = ?,
               segmenter = CASE WHEN segmenter = ? THEN segmenter ELSE NULL END WHERE id = ?""",
            [text, NOT_SEGMENTED, span_id],
        )
