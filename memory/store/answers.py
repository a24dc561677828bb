"""Questions asked, the answers given, and the places in the store that they rest on.

The words of questions and answers are turns of a session; here stand only their ids.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from memagent.memory.store.database import Store, now
from memagent.memory.store.spans import Spans
from memagent.types import Span

__all__ = ["Answers", "CitationRow"]


@dataclass(frozen=True, slots=True)
class CitationRow:
    """A citation as stored: a place in a source, or, unverified, only what was claimed.

    `share` is the share of the model's attention, where that is why the place is cited.
    """

    number: int
    verified: bool
    source_id: int | None = None
    start: int | None = None
    end: int | None = None
    claim: str | None = None
    share: float | None = None


class Answers:
    """The answers of one namespace."""

    def __init__(self, store: Store, namespace_id: int) -> None:
        self.store = store
        self.namespace_id = namespace_id
        self.spans = Spans(store)

    def begin(self, question: Span, engine: str) -> int:
        """Record that a question is being answered; returns the answer's id."""
        with self.store.write() as db:
            cursor = db.execute(
                """INSERT INTO answers
                   (namespace_id, session_id, question_span, engine, state, created)
                   VALUES (?, ?, ?, ?, 'pending', ?)""",
                [self.namespace_id, question.source_id, question.id, engine, now()],
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def finish(
        self,
        answer_id: int,
        text: str,
        state: str,
        *,
        found: bool,
        confidence: float | None = None,
        citations: list[CitationRow],
        usage: dict[str, int],
        explain: dict[str, Any],
        segment: bool,
    ) -> None:
        """Store the answer's words as a turn, with citations: all of it in one transaction."""
        with self.store.write() as db:
            row = self.get(answer_id)
            span = self.spans.append_turn(row["session_id"], "assistant", text, segment=segment)
            db.execute(
                """UPDATE answers SET answer_span = ?, state = ?, found = ?, confidence = ?,
                   usage = ?, explain = ? WHERE id = ?""",
                [
                    span.id,
                    state,
                    found,
                    confidence,
                    json.dumps(usage),
                    json.dumps(explain),
                    answer_id,
                ],
            )
            db.execute("DELETE FROM citations WHERE answer_id = ?", [answer_id])
            for position, cited in enumerate(citations):
                db.execute(
                    """INSERT INTO citations
                       (answer_id, position, number, verified,
                        source_id, start, "end", claim, share)
                       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
                    [
                        answer_id,
                        position,
                        cited.number,
                        cited.verified,
                        cited.source_id,
                        cited.start,
                        cited.end,
                        cited.claim,
                        cited.share,
                    ],
                )

    def get(self, answer_id: int) -> dict[str, Any]:
        """One answer's row, with the words of question and answer and the session's name."""
        row = self.store.row(
            """SELECT a.*, q.text AS question, t.text AS text, s.name AS session
               FROM answers a JOIN spans q ON q.id = a.question_span
               JOIN sources s ON s.id = a.session_id
               LEFT JOIN spans t ON t.id = a.answer_span
               WHERE a.id = ? AND a.namespace_id = ?""",
            answer_id,
            self.namespace_id,
        )
        assert row is not None, f"answer {answer_id} is not in the namespace"
        return {**row, "usage": json.loads(row["usage"]), "explain": json.loads(row["explain"])}

    def citations(self, answer_id: int) -> list[dict[str, Any]]:
        """The citations of an answer with the source, page, section, time and role they lie in."""
        return self.store.rows(
            """SELECT c.number, c.verified, c.source_id, c.start, c."end", c.claim, c.share,
                      src.name AS source, src.kind, s.page, s.section, s.time, s.role
               FROM citations c LEFT JOIN sources src ON src.id = c.source_id
               LEFT JOIN spans s ON s.source_id = c.source_id
                    AND s.start <= c.start AND s."end" > c.start
               WHERE c.answer_id = ? ORDER BY c.position""",
            answer_id,
        )

    def of_question(self, span_id: int) -> int | None:
        """The id of the newest finished answer to a turn, if any."""
        row = self.store.row(
            """SELECT id FROM answers WHERE question_span = ? AND namespace_id = ?
               AND state <> 'pending' ORDER BY id DESC LIMIT 1""",
            span_id,
            self.namespace_id,
        )
        return int(row["id"]) if row else None

    def reports(self, questions: Sequence[int], part: str) -> dict[int, Any]:
        """One part of the reports of the newest finished answers to turns, by the turn's id."""
        rows = self.store.rows(
            """SELECT question_span, json_extract(explain, ?) AS part FROM answers
               WHERE question_span IN (SELECT value FROM json_each(?)) AND namespace_id = ?
               AND state <> 'pending' ORDER BY id""",
            f"$.{part}",
            json.dumps(list(questions)),
            self.namespace_id,
        )
        newest = {row["question_span"]: row["part"] for row in rows}
        return {span: json.loads(part) for span, part in newest.items() if part is not None}

    def last(self, session_id: int) -> int | None:
        """The id of a session's newest answer, unless it or its question was taken back."""
        row = self.store.row(
            """SELECT a.id FROM answers a
               JOIN spans q ON q.id = a.question_span JOIN spans t ON t.id = a.answer_span
               WHERE a.session_id = ? AND q.withdrawn IS NULL AND t.withdrawn IS NULL
               ORDER BY a.id DESC LIMIT 1""",
            session_id,
        )
        return int(row["id"]) if row else None
