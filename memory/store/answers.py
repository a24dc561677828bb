"""Answers with their citations and the prompt state that later turns need.

The text of questions and answers is stored as turns of a session, which answers refer to by id.
The report in `explain` is for display only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from typing import Any, Literal

from memagent.memory.store.database import Store, now
from memagent.memory.store.locators import Place
from memagent.memory.store.spans import Spans
from memagent.types import Span, State

__all__ = ["AnswerRecord", "Answers", "CitationRow", "OutlineRow", "PromptEvent", "PromptState"]


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
class PromptEvent:
    """An event that a turn added to the prompt by recall or a tool call, with its note."""

    origin: Literal["recall", "tool"]
    place: Place
    note: str = ""


@dataclass(frozen=True, slots=True)
class PromptState:
    """The state of a session's prompt after a turn, from which the next turn continues.

    `begun` is the ordinal of the first turn in the log, and `carried` the number of turns before
    it of which the prompt holds only the text. `events` are the events that the turn added, in the
    order of their numbers; `recalled_again` are the numbers of earlier events that it recalled
    again. `memory` and `plan` are the versions shown in this turn, or None if unchanged. `tokens`
    is the length of the prompt and answer.
    """

    begun: int
    carried: int
    tokens: int
    recalled_again: tuple[int, ...] = ()
    memory: int | None = None
    plan: int | None = None
    events: tuple[PromptEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """A finished answer as stored. If `segment` is true, its text can be recalled later."""

    text: str
    state: State
    found: bool = True
    confidence: float | None = None
    citations: Sequence[CitationRow] = ()
    outline: Sequence[OutlineRow] = ()
    prompt: PromptState | None = None
    usage: dict[str, int] = field(default_factory=dict)
    explain: dict[str, Any] = field(default_factory=dict)
    segment: bool = False


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
        """Store a finished answer with its text, as a turn, and its details, in one transaction."""
        with self.store.write() as db:
            session_id = self.get(answer_id)["session_id"]
            span = self.spans.append_turn(
                session_id, "assistant", record.text, segment=record.segment
            )
            db.execute(
                """UPDATE answers SET answer_span = ?, state = ?, found = ?, confidence = ?,
                   usage = ?, explain = ? WHERE id = ?""",
                [
                    span.id,
                    record.state,
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
                self._write_prompt(answer_id, record.prompt)

    def _write_prompt(self, answer_id: int, prompt: PromptState) -> None:
        with self.store.write() as db:
            db.execute(
                "INSERT INTO prompt_states VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    answer_id,
                    prompt.begun,
                    prompt.carried,
                    json.dumps(prompt.recalled_again),
                    prompt.memory,
                    prompt.plan,
                    prompt.tokens,
                ],
            )
            db.conn.executemany(
                "INSERT INTO prompt_events VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (answer_id, position, event.origin, *event.place, event.note)
                    for position, event in enumerate(prompt.events)
                ],
            )

    def get(self, answer_id: int) -> dict[str, Any]:
        """The row of an answer with the text of question and answer and the name of the session."""
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
        rows = self.store.rows(
            """SELECT MAX(a.id), a.question_span, p.* FROM answers a
               LEFT JOIN prompt_states p ON p.answer_id = a.id
               WHERE a.question_span IN (SELECT value FROM json_each(?)) AND a.namespace_id = ?
               AND a.state <> 'pending' GROUP BY a.question_span""",
            json.dumps(list(questions)),
            self.namespace_id,
        )
        states = [row for row in rows if row["answer_id"] is not None]
        events: dict[int, list[PromptEvent]] = {row["answer_id"]: [] for row in states}
        for answer_id, origin, *place, note in self.store.tuples(
            """SELECT answer_id, origin, source_id, start, "end", note FROM prompt_events
               WHERE answer_id IN (SELECT value FROM json_each(?)) ORDER BY answer_id, position""",
            json.dumps(list(events)),
        ):
            source_id, start, end = place
            events[answer_id].append(PromptEvent(origin, (source_id, start, end), note))
        return {
            row["question_span"]: PromptState(
                row["begun"],
                row["carried"],
                row["tokens"],
                tuple(json.loads(row["recalled_again"])),
                row["memory_version"],
                row["plan_version"],
                tuple(events[row["answer_id"]]),
            )
            for row in states
        }

    def last(self, session_id: int) -> int | None:
        """The id of the newest answer of a session whose question and answer are not withdrawn."""
        row = self.store.row(
            """SELECT a.id FROM answers a
               JOIN spans q ON q.id = a.question_span JOIN spans t ON t.id = a.answer_span
               WHERE a.session_id = ? AND q.withdrawn IS NULL AND t.withdrawn IS NULL
               ORDER BY a.id DESC LIMIT 1""",
            session_id,
        )
        return int(row["id"]) if row else None
