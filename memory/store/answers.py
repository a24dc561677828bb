"""Answers with their citations and the prompt state that later turns need.

The text of questions and answers is stored as turns of a session, which answers refer to by id.
The report in `explain` is for display only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from typing import Any

from memagent.errors import UsageError
from memagent.memory.store.database import Store, now
from memagent.memory.store.locators import Place
from memagent.memory.store.prompt_states import (
    PromptState,
    read_prompt_states,
    write_prompt_state,
)
from memagent.memory.store.spans import Spans
from memagent.types import Ending, Span, State

__all__ = ["AnswerRecord", "Answers", "CitationRow", "OutlineRow", "answer_parts"]


@dataclass(frozen=True, slots=True)
class CitationRow:
    """A citation as stored: a place in a source or, if unverified, only the claim.

    `share` is the place's share of the model's attention, if that is why it is cited. `valid_from`
    and `valid_until` are set for statements that supersede another one or are superseded.
    """

    number: int
    verified: bool
    source_id: int | None = None
    start: int | None = None
    end: int | None = None
    claim: str | None = None
    share: float | None = None
    valid_from: str | None = None
    valid_until: str | None = None


@dataclass(frozen=True, slots=True)
class OutlineRow:
    """An outline heading for a place in a source; `number` is the place's number in the prompt."""

    heading: str
    number: int
    place: Place


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """A finished answer as stored. If `segment` is true, its text can be recalled later.

    The state is 'complete' only if the answer ended by itself.
    """

    text: str
    ended: Ending
    found: bool = True
    confidence: float | None = None
    citations: Sequence[CitationRow] = ()
    outline: Sequence[OutlineRow] = ()
    prompt: PromptState | None = None
    usage: dict[str, int] = field(default_factory=dict)
    explain: dict[str, Any] = field(default_factory=dict)
    segment: bool = False

    @property
    def state(self) -> State:
        """The state that follows from how the answer ended."""
        return "complete" if self.ended == "stop" else "partial"


class Answers:
    """The answers of one namespace."""

    def __init__(self, store: Store, namespace_id: int) -> None:
        self.store = store
        self.namespace_id = namespace_id
        self.spans = Spans(store)

    def begin(self, question: Span, engine: str) -> int:
        """Add a pending answer to a question; returns the id of the answer."""
        with self.store.write() as db:
            cursor = db.execute(
                """INSERT INTO answers
                   (namespace_id, session_id, question_span, engine, state, created)
                   VALUES (?, ?, ?, ?, 'pending', ?)""",
                [self.namespace_id, question.source_id, question.id, engine, now()],
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def finish(self, answer_id: int, record: AnswerRecord) -> None:
        """Store a finished answer with its text, as a turn, and its details, in one transaction.

        An answer without a word gets no turn: it must not be in later prompts.
        """
        with self.store.write() as db:
            session_id = self.get(answer_id)["session_id"]
            span_id = None
            if record.text.strip():
                span_id = self.spans.append_turn(
                    session_id, "assistant", record.text, segment=record.segment
                ).id
            db.execute("UPDATE answers SET answer_span = ? WHERE id = ?", [span_id, answer_id])
            self._write_details(answer_id, record)

    def extend(self, answer_id: int, record: AnswerRecord) -> None:
        """Append the text of `record` to an answer, as a turn of its own, and replace its details.

        Without text only the details are replaced. Raises UsageError if the session went on.
        """
        with self.store.write() as db:
            parts = self.parts(answer_id)
            newest = self.spans.of(parts[-1].source_id, last=1, withdrawn=False)
            if newest != parts[-1:]:
                raise UsageError("the conversation went on meanwhile: only its end can continue")
            if record.text.strip():
                span = self.spans.append_turn(
                    parts[-1].source_id, "assistant", record.text, segment=record.segment
                )
                db.execute("INSERT INTO continuations VALUES (?, ?)", [span.id, answer_id])
            self._write_details(answer_id, record)

    def parts(self, answer_id: int) -> list[Span]:
        """The turns that hold the words of an answer, in order: more than one if it was continued,
        none if it has no words."""
        return answer_parts(self.store, answer_id)

    def note_end(self, answer_id: int, ended: Ending) -> None:
        """Record how an answer ended that stays pending, because it has no words."""
        with self.store.write() as db:
            db.execute("UPDATE answers SET ended = ? WHERE id = ?", [ended, answer_id])

    def _write_details(self, answer_id: int, record: AnswerRecord) -> None:
        with self.store.write() as db:
            db.execute(
                """UPDATE answers SET state = ?, ended = ?, found = ?, confidence = ?,
                   usage = ?, explain = ? WHERE id = ?""",
                [
                    record.state,
                    record.ended,
                    record.found,
                    record.confidence,
                    json.dumps(record.usage),
                    json.dumps(record.explain),
                    answer_id,
                ],
            )
            for table in ("citations", "outline_points", "prompt_states"):
                db.execute(f"DELETE FROM {table} WHERE answer_id = ?", [answer_id])
            db.conn.executemany(
                "INSERT INTO citations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (answer_id, position, *astuple(cited))
                    for position, cited in enumerate(record.citations)
                ],
            )
            db.conn.executemany(
                "INSERT INTO outline_points VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (answer_id, position, point.heading, point.number, *point.place)
                    for position, point in enumerate(record.outline)
                ],
            )
            if record.prompt is not None:
                write_prompt_state(self.store, answer_id, record.prompt)

    def get(self, answer_id: int) -> dict[str, Any]:
        """The row of an answer with the text of question and answer and the name of the session."""
        row = self.store.row(
            """SELECT a.*, q.text AS question, s.name AS session
               FROM answers a JOIN spans q ON q.id = a.question_span
               JOIN sources s ON s.id = a.session_id
               WHERE a.id = ? AND a.namespace_id = ?""",
            answer_id,
            self.namespace_id,
        )
        assert row is not None, f"answer {answer_id} is not in the namespace"
        return {
            **row,
            "text": "".join(part.text for part in self.parts(answer_id)),
            "usage": json.loads(row["usage"]),
            "explain": json.loads(row["explain"]),
        }

    def citations(self, answer_id: int) -> list[dict[str, Any]]:
        """The citations of an answer, each with its source, page, section, time and role."""
        return self.store.rows(
            """SELECT c.number, c.verified, c.source_id, c.start, c."end", c.claim, c.share,
                      c.valid_from, c.valid_until,
                      src.name AS source, src.kind, s.page, s.section, s.time, s.role
               FROM citations c LEFT JOIN sources src ON src.id = c.source_id
               LEFT JOIN spans s ON s.source_id = c.source_id
                    AND s.start <= c.start AND s."end" > c.start
               WHERE c.answer_id = ? ORDER BY c.position""",
            answer_id,
        )

    def of_question(self, span_id: int) -> int | None:
        """The id of the newest finished answer to the turn `span_id`, if any."""
        row = self.store.row(
            """SELECT id FROM answers WHERE question_span = ? AND namespace_id = ?
               AND state <> 'pending' ORDER BY id DESC LIMIT 1""",
            span_id,
            self.namespace_id,
        )
        return int(row["id"]) if row else None

    def outline(self, answer_id: int) -> list[OutlineRow]:
        """The outline of an answer in order; empty if it has none."""
        rows = self.store.tuples(
            """SELECT heading, number, source_id, start, "end" FROM outline_points
               WHERE answer_id = ? ORDER BY position""",
            answer_id,
        )
        return [OutlineRow(row[0], row[1], (row[2], row[3], row[4])) for row in rows]

    def prompt_states(self, questions: Sequence[int]) -> dict[int, PromptState]:
        """The prompt state after the newest finished answer to each question, by span id.

        Questions whose newest answer has no prompt state are omitted.
        """
        return read_prompt_states(self.store, self.namespace_id, questions)

    def endings(self, session_id: int) -> dict[int, Ending]:
        """How the answers of a session ended, by the id of their last turn, or of the question for
        an answer without words."""
        rows = self.store.tuples(
            """SELECT coalesce((SELECT MAX(span_id) FROM continuations WHERE answer_id = a.id),
                      answer_span, question_span), ended
               FROM answers a WHERE session_id = ? AND ended IS NOT NULL ORDER BY id""",
            session_id,
        )
        return dict(rows)

    def last(self, session_id: int) -> int | None:
        """The id of the newest answer of a session whose question and answer are not withdrawn."""
        row = self.store.row(
            """SELECT a.id FROM answers a
               JOIN spans q ON q.id = a.question_span LEFT JOIN spans t ON t.id = a.answer_span
               WHERE a.session_id = ? AND a.state <> 'pending'
               AND q.withdrawn IS NULL AND t.withdrawn IS NULL
               ORDER BY a.id DESC LIMIT 1""",
            session_id,
        )
        return int(row["id"]) if row else None


def answer_parts(store: Store, answer_id: int) -> list[Span]:
    """See `Answers.parts`."""
    rows = store.tuples(
        """SELECT answer_span FROM answers WHERE id = ?1 AND answer_span IS NOT NULL
           UNION ALL SELECT span_id FROM continuations WHERE answer_id = ?1 ORDER BY 1""",
        answer_id,
    )
    spans = Spans(store)
    return [spans.get(row[0]) for row in rows]
