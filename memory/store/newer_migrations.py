"""The migrations of the schema from 7 on; `migrations` has the earlier ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memagent.memory.store.migrations import migrations

if TYPE_CHECKING:
    from sqlite_utils import Database

__all__ = ["migrations"]

_M007 = (
    "ALTER TABLE answers ADD COLUMN ended TEXT",
    """CREATE TABLE continuations (
        span_id INTEGER PRIMARY KEY REFERENCES spans(id),
        answer_id INTEGER NOT NULL REFERENCES answers(id) ON DELETE CASCADE
    )""",
    "CREATE INDEX continuations_answer ON continuations (answer_id)",
    """UPDATE answers SET ended = CASE
        WHEN state = 'partial' THEN 'interrupted'
        WHEN (SELECT text FROM spans WHERE id = answer_span) = '' THEN 'empty'
        WHEN EXISTS (SELECT 1 FROM json_each(explain, '$.trace')
                     WHERE value ->> 'step' = 'repetition') THEN 'repetition'
        ELSE 'stop' END
        WHERE state <> 'pending'""",
    # An empty turn of the assistant must not be in a prompt.
    """UPDATE spans SET withdrawn = time, segmenter = '' WHERE text = '' AND withdrawn IS NULL
        AND id IN (SELECT answer_span FROM answers)""",
    """UPDATE answers SET answer_span = NULL
        WHERE ended = 'empty' OR answer_span IN (SELECT id FROM spans WHERE text = '')""",
    "UPDATE answers SET state = 'partial' WHERE state <> 'pending' AND ended <> 'stop'",
)


@migrations()
def m007_answer_ending(db: Database) -> None:
    """Add how an answer ended, and the turns that continue one that was cut."""
    for statement in _M007:
        db.execute(statement)
