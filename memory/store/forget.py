"""Forgetting: overwrites text in its spans and deletes everything derived from it.

Each character is replaced by a block character, so the offsets of other citations stay valid.
Database triggers delete the surprise of a span when its text changes.
"""

from __future__ import annotations

import re

from memagent.memory.store.answers import answer_parts
from memagent.memory.store.database import Store, now
from memagent.memory.store.events import Events
from memagent.memory.store.spans import NOT_SEGMENTED, Spans
from memagent.memory.store.working import forget_lines
from memagent.types import Source

__all__ = ["BLOCK", "forget_range", "forget_source"]

BLOCK = "\u2588"


def forget_range(store: Store, events: Events, source_id: int, start: int, end: int) -> int:
    """Forget the characters [start, end) of a source.

    Also redacts quotes of them in answers and deletes the lines of working memory that come from
    turns in this range. Returns the number of characters overwritten in the source. Events that
    overlap the range are dropped, and the remaining text is to be cut again.
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
    """Forget a session, or a document with its earlier versions, and free its name.

    Returns the number of characters overwritten.
    """
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
    """Overwrite quotes of the range in the answers that cite it, and clear those citations."""
    spans = Spans(store)
    rows = store.rows(
        """SELECT answer_id, position, start, "end" FROM citations
           WHERE source_id = ? AND start < ? AND "end" > ?""",
        source_id,
        end,
        start,
    )
    with store.write() as db:
        for row in rows:
            quote = spans.text(source_id, row["start"], row["end"])
            if quote:
                _redact_answer(store, events, row["answer_id"], quote)
            db.execute(
                """UPDATE citations SET source_id = NULL, start = NULL, "end" = NULL,
                   valid_from = NULL, valid_until = NULL, verified = 0, claim = 'forgotten'
                   WHERE answer_id = ? AND position = ?""",
                [row["answer_id"], row["position"]],
            )


def _redact_answer(store: Store, events: Events, answer_id: int, quote: str) -> None:
    """Overwrite a quote in an answer; it may run from one part of the answer into the next."""
    parts = answer_parts(store, answer_id)
    rest = _without("".join(part.text for part in parts), quote)
    for part in parts:
        text, rest = rest[: len(part.text)], rest[len(part.text) :]
        _overwrite(store, events, part.id, text)


def _redact_reports(store: Store, source_id: int, start: int, end: int) -> None:
    """Delete intermediate model output about the range, such as questions and headings."""
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
    """Redact `quote` in an answer, and every line of the answer that occurs in `quote`.

    White space may differ.
    """
    said = re.sub(_loose(quote), lambda match: BLOCK * len(match[0]), said)
    return "\n".join(
        BLOCK * len(line) if line.strip() and re.search(_loose(line), quote) else line
        for line in said.split("\n")
    )


def _loose(text: str) -> str:
    return r"\s+".join(map(re.escape, text.split()))


def _overwrite(store: Store, events: Events, span_id: int, text: str) -> None:
    """Replace the text of a span by one of the same length and mark the span as pending."""
    with store.write() as db:
        events.drop("span_id = ?", span_id)
        db.execute(
            """UPDATE spans SET text = ?,
               segmenter = CASE WHEN segmenter = ? THEN segmenter ELSE NULL END WHERE id = ?""",
            [text, NOT_SEGMENTED, span_id],
        )
