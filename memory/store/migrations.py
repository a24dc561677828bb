"""The database schema as numbered migrations, 1 to 6; released migrations are never edited."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqlite_utils import Migrations

if TYPE_CHECKING:
    from sqlite_utils import Database

__all__ = ["migrations"]

migrations = Migrations("memagent")

_M001 = (
    """CREATE TABLE namespaces (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        created TEXT NOT NULL,
        epoch INTEGER NOT NULL DEFAULT 0
    )""",
    """CREATE TABLE sources (
        id INTEGER PRIMARY KEY,
        namespace_id INTEGER NOT NULL REFERENCES namespaces(id),
        kind TEXT NOT NULL CHECK (kind IN ('document', 'session')),
        name TEXT NOT NULL,
        uri TEXT,
        sha256 TEXT,
        media_type TEXT,
        chars INTEGER NOT NULL DEFAULT 0,
        complete INTEGER NOT NULL DEFAULT 0,
        created TEXT NOT NULL,
        updated TEXT NOT NULL,
        superseded TEXT
    )""",
    """CREATE UNIQUE INDEX sources_current ON sources (namespace_id, kind, name)
        WHERE complete = 1 AND superseded IS NULL""",
    """CREATE TABLE spans (
        id INTEGER PRIMARY KEY,
        source_id INTEGER NOT NULL REFERENCES sources(id),
        ordinal INTEGER NOT NULL,
        start INTEGER NOT NULL,
        "end" INTEGER NOT NULL,
        text TEXT NOT NULL,
        page INTEGER,
        section TEXT,
        role TEXT,
        time TEXT NOT NULL,
        key TEXT,
        segmenter TEXT,
        withdrawn TEXT,
        UNIQUE (source_id, ordinal)
    )""",
    "CREATE UNIQUE INDEX spans_key ON spans (source_id, key) WHERE key IS NOT NULL",
    "CREATE INDEX spans_pending ON spans (source_id) WHERE segmenter IS NULL",
    "CREATE INDEX spans_time ON spans (time)",
    """CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        namespace_id INTEGER NOT NULL REFERENCES namespaces(id),
        source_id INTEGER NOT NULL REFERENCES sources(id),
        span_id INTEGER NOT NULL REFERENCES spans(id),
        start INTEGER NOT NULL,
        "end" INTEGER NOT NULL
    )""",
    "CREATE INDEX events_namespace ON events (namespace_id, id)",
    "CREATE INDEX events_place ON events (source_id, start)",
    "CREATE INDEX events_span ON events (span_id)",
    """CREATE VIEW event_texts AS
        SELECT e.id AS id,
               substr(s.text, e.start - s.start + 1, e."end" - e.start) AS text,
               'n' || e.namespace_id AS ns
        FROM events e JOIN spans s ON s.id = e.span_id""",
    # The index keeps no copy of the text. The namespace is an indexed column so that queries are
    # restricted to it before rows are ranked.
    """CREATE VIRTUAL TABLE events_fts USING fts5 (
        text, ns, content='event_texts', content_rowid='id',
        tokenize='porter unicode61 remove_diacritics 2'
    )""",
    """CREATE TABLE vector_sets (
        namespace_id INTEGER NOT NULL REFERENCES namespaces(id),
        embedder TEXT NOT NULL,
        count INTEGER NOT NULL DEFAULT 0,
        through INTEGER NOT NULL DEFAULT 0,
        saved INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (namespace_id, embedder)
    )""",
    """CREATE TABLE vectors (
        namespace_id INTEGER NOT NULL,
        embedder TEXT NOT NULL,
        event_id INTEGER NOT NULL REFERENCES events(id) ON DELETE CASCADE,
        vector BLOB NOT NULL,
        PRIMARY KEY (namespace_id, embedder, event_id)
    ) WITHOUT ROWID""",
    "CREATE INDEX vectors_event ON vectors (event_id)",
    """CREATE TABLE answers (
        id INTEGER PRIMARY KEY,
        namespace_id INTEGER NOT NULL REFERENCES namespaces(id),
        session_id INTEGER NOT NULL REFERENCES sources(id),
        question_span INTEGER NOT NULL REFERENCES spans(id),
        answer_span INTEGER REFERENCES spans(id),
        engine TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('pending', 'partial', 'complete')),
        found INTEGER NOT NULL DEFAULT 1,
        usage TEXT NOT NULL DEFAULT '{}',
        explain TEXT NOT NULL DEFAULT '{}',
        created TEXT NOT NULL
    )""",
    "CREATE INDEX answers_session ON answers (session_id, id)",
    "CREATE INDEX answers_question ON answers (question_span)",
    """CREATE TABLE citations (
        answer_id INTEGER NOT NULL REFERENCES answers(id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        number INTEGER NOT NULL,
        verified INTEGER NOT NULL,
        source_id INTEGER REFERENCES sources(id),
        start INTEGER,
        "end" INTEGER,
        claim TEXT,
        PRIMARY KEY (answer_id, position)
    ) WITHOUT ROWID""",
    "CREATE INDEX citations_source ON citations (source_id, start)",
    """CREATE TABLE working (
        id INTEGER PRIMARY KEY,
        session_id INTEGER NOT NULL REFERENCES sources(id),
        kind TEXT NOT NULL CHECK (kind IN ('memory', 'plan')),
        version INTEGER NOT NULL,
        lines TEXT NOT NULL,
        reason TEXT NOT NULL,
        created TEXT NOT NULL,
        UNIQUE (session_id, kind, version)
    )""",
    """CREATE TABLE batches (
        id TEXT PRIMARY KEY,
        output TEXT NOT NULL,
        created TEXT NOT NULL
    )""",
    """CREATE TABLE batch_rows (
        batch_id TEXT NOT NULL REFERENCES batches(id) ON DELETE CASCADE,
        row_id TEXT NOT NULL,
        operation TEXT NOT NULL,
        status TEXT NOT NULL,
        detail TEXT,
        finished TEXT NOT NULL,
        PRIMARY KEY (batch_id, row_id)
    ) WITHOUT ROWID""",
)


@migrations()
def m001_initial(db: Database) -> None:
    """The initial schema. Events, vectors and the text index derive from sources and spans."""
    for statement in _M001:
        db.execute(statement)


@migrations()
def m002_citation_share(db: Database) -> None:
    """Add the share of attention of citations that are based on attention."""
    db.execute("ALTER TABLE citations ADD COLUMN share REAL")


@migrations()
def m003_answer_confidence(db: Database) -> None:
    """Add the estimated probability that an answer is correct."""
    db.execute("ALTER TABLE answers ADD COLUMN confidence REAL")


_M004 = (
    """CREATE TABLE surprises (
        span_id INTEGER NOT NULL REFERENCES spans(id) ON DELETE CASCADE,
        scorer TEXT NOT NULL,
        packed BLOB NOT NULL,
        PRIMARY KEY (span_id, scorer)
    )""",
    """CREATE TRIGGER surprises_span AFTER UPDATE OF text, withdrawn ON spans BEGIN
        DELETE FROM surprises WHERE span_id = old.id;
    END""",
    """CREATE TRIGGER surprises_source AFTER UPDATE OF superseded ON sources
        WHEN new.superseded IS NOT NULL BEGIN
        DELETE FROM surprises WHERE span_id IN (SELECT id FROM spans WHERE source_id = old.id);
    END""",
)


@migrations()
def m004_surprise(db: Database) -> None:
    """Add the surprise of spans, with triggers that delete it when the text changes."""
    for statement in _M004:
        db.execute(statement)


@migrations()
def m005_token_codes(db: Database) -> None:
    """Add the token codes of events; existing events have none."""
    db.execute("ALTER TABLE vectors ADD COLUMN tokens BLOB")


_M006 = (
    """CREATE TABLE prompt_states (
        answer_id INTEGER PRIMARY KEY REFERENCES answers(id) ON DELETE CASCADE,
        begun INTEGER NOT NULL,
        carried INTEGER NOT NULL,
        recalled_again TEXT NOT NULL,
        memory_version INTEGER,
        plan_version INTEGER,
        tokens INTEGER NOT NULL
    )""",
    """CREATE TABLE prompt_events (
        answer_id INTEGER NOT NULL REFERENCES prompt_states(answer_id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        origin TEXT NOT NULL CHECK (origin IN ('recall', 'tool')),
        source_id INTEGER NOT NULL REFERENCES sources(id),
        start INTEGER NOT NULL,
        "end" INTEGER NOT NULL,
        note TEXT NOT NULL,
        PRIMARY KEY (answer_id, position)
    ) WITHOUT ROWID""",
    """CREATE TABLE outline_points (
        answer_id INTEGER NOT NULL REFERENCES answers(id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        heading TEXT NOT NULL,
        number INTEGER NOT NULL,
        source_id INTEGER NOT NULL REFERENCES sources(id),
        start INTEGER NOT NULL,
        "end" INTEGER NOT NULL,
        PRIMARY KEY (answer_id, position)
    ) WITHOUT ROWID""",
    "ALTER TABLE citations ADD COLUMN valid_from TEXT",
    "ALTER TABLE citations ADD COLUMN valid_until TEXT",
)


@migrations()
def m006_prompt_state(db: Database) -> None:
    """Add tables for prompt states, outlines and validity, filled from the answers' reports."""
    for statement in _M006:
        db.execute(statement)
    reports = "SELECT id, explain FROM answers WHERE explain <> '{}' ORDER BY id"
    for answer_id, explain in db.execute(reports).fetchall():
        report = json.loads(explain)
        if "log" in report:
            _fill_prompt_state(db, answer_id, report["log"])
        _fill_outline(db, answer_id, report)
        _fill_validity(db, answer_id, report)


def _fill_prompt_state(db: Database, answer_id: int, log: dict[str, Any]) -> None:
    again = json.dumps(log["again"])
    db.execute(
        "INSERT INTO prompt_states VALUES (?, ?, ?, ?, ?, ?, ?)",
        [answer_id, log["begun"], log["carried"], again, log["memory"], log["plan"], log["tokens"]],
    )
    events = [("recall", *place) for place in log["shown"]]
    events += [("tool", *place[:3], "") for place in log["looked_up"]]
    insert = "INSERT INTO prompt_events VALUES (?, ?, ?, ?, ?, ?, ?)"
    for position, event in enumerate(events):
        db.execute(insert, [answer_id, position, *event])


def _fill_outline(db: Database, answer_id: int, report: dict[str, Any]) -> None:
    lines = {line["number"]: line for line in report.get("chosen", ())}
    for position, (heading, number) in enumerate(report.get("outline", ())):
        place = [lines[number][key] for key in ("source_id", "start", "end")]
        insert = "INSERT INTO outline_points VALUES (?, ?, ?, ?, ?, ?, ?)"
        db.execute(insert, [answer_id, position, heading, number, *place])


def _fill_validity(db: Database, answer_id: int, report: dict[str, Any]) -> None:
    lines = [line for line in report.get("chosen", ()) if line.get("valid")]
    if not lines:
        return
    cited = db.execute(
        """SELECT c.position, c.start, c."end", s.name
           FROM citations c JOIN sources s ON s.id = c.source_id
           WHERE c.answer_id = ? AND s.kind = 'session'""",
        [answer_id],
    ).fetchall()
    for position, start, end, source in cited:
        found = None
        # The statement with the largest overlap, if it covers more than half of the citation.
        most = (end - start) / 2
        for valid in _intervals(lines, source):
            shared = min(end, valid["end"]) - max(start, valid["start"])
            if shared > most:
                most, found = shared, valid
        if found is not None:
            db.execute(
                """UPDATE citations SET valid_from = ?, valid_until = ?
                   WHERE answer_id = ? AND position = ?""",
                [found["from"], found["until"], answer_id, position],
            )


def _intervals(lines: list[dict[str, Any]], source: str) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line["source"] == source:
            yield from line["valid"]
