"""The state of a session's prompt after each turn, from which the next turn continues it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from memagent.memory.store.database import Store
from memagent.memory.store.locators import Place

__all__ = ["PromptEvent", "PromptState", "read_prompt_states", "write_prompt_state"]


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


def write_prompt_state(store: Store, answer_id: int, prompt: PromptState) -> None:
    """Store the prompt state after an answer that has none yet."""
    with store.write() as db:
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


def read_prompt_states(
    store: Store, namespace_id: int, questions: Sequence[int]
) -> dict[int, PromptState]:
    """See `Answers.prompt_states`."""
    rows = store.rows(
        """SELECT MAX(a.id), a.question_span, p.* FROM answers a
           LEFT JOIN prompt_states p ON p.answer_id = a.id
           WHERE a.question_span IN (SELECT value FROM json_each(?)) AND a.namespace_id = ?
           AND a.state <> 'pending' GROUP BY a.question_span""",
        json.dumps(list(questions)),
        namespace_id,
    )
    states = [row for row in rows if row["answer_id"] is not None]
    events: dict[int, list[PromptEvent]] = {row["answer_id"]: [] for row in states}
    for answer_id, origin, *place, note in store.tuples(
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
