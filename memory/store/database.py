"""A SQLite database in WAL mode: connections, transactions and one-line error messages.

The tables themselves are read and written by the other modules of this package.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from memagent.errors import StoreError
from memagent.memory.store.newer_migrations import migrations

__all__ = ["Store", "now"]

BUSY_SECONDS = 30


def now() -> str:
    """The current time in UTC as ISO 8601 with microseconds, which sorts correctly as text."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


class Store:
    """The database file; all other files are derived from it and can be rebuilt.

    Each thread has its own connection. Threads of one process take turns to write; writers of
    different processes wait for SQLite's lock. Errors of sqlite3 are raised as StoreError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        self._closed = False
        self._writing = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot create the folder of the store {path}: {error.strerror}; "
                "choose another with --store or MEMAGENT_STORE"
            ) from error
        with self.errors():
            self._migrate()

    @property
    def db(self) -> Database:
        """This thread's connection."""
        if self._closed:
            raise StoreError(f"the store {self.path} is closed: open it again")
        database: Database | None = getattr(self._local, "database", None)
        if database is None:
            database = self._local.database = self._connect()
        return database

    def rows(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        """All rows of a query, as dictionaries."""
        with self.errors():
            return list(self.db.query(sql, parameters))

    def tuples(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """All rows of a query, as tuples: three times as fast as `rows` for thousands of rows."""
        with self.errors():
            found: list[tuple[Any, ...]] = self.db.execute(sql, parameters).fetchall()
            return found

    def row(self, sql: str, *parameters: Any) -> dict[str, Any] | None:
        """The first row of a query, or None."""
        return next(iter(self.rows(sql, *parameters)), None)

    @contextmanager
    def write(self) -> Iterator[Database]:
        """A transaction: committed to disk at the end of the block, rolled back on an exception.

        The write lock is taken at the start. Otherwise another process could commit between a
        read and a write of this transaction, and SQLite would fail without waiting. Blocks may be
        nested. Threads of one process wait on a Python lock, since SQLite's own wait polls.
        """
        with self.errors():
            db = self.db
            if db.conn.in_transaction:
                with db.atomic():
                    yield db
                return
            with self._writing:
                try:
                    db.conn.execute("BEGIN IMMEDIATE")
                    yield db
                    db.conn.execute("COMMIT")
                except BaseException:
                    db.rollback()
                    raise

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Convert errors of sqlite3 to StoreError, with advice on how to fix them."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise StoreError(self._explain(str(error))) from error

    def integrity(self) -> str:
        """The result of SQLite's integrity check: 'ok' or the first problem found."""
        return str(self.rows("PRAGMA integrity_check")[0]["integrity_check"])

    def checkpoint(self) -> None:
        """Write the write-ahead log into the database file and truncate the log.

        The full-text index is optimized first, because it keeps deleted words until its segments
        are merged.
        """
        with self.write() as db:
            db.execute("INSERT INTO events_fts (events_fts) VALUES ('optimize')")
        with self.errors():
            self.db.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close every thread's connection; safe to call twice."""
        with self._guard:
            self._closed = True
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.close()
        self._local = threading.local()

    def _connect(self) -> Database:
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, check_same_thread=False)
        for pragma in (
            "synchronous = FULL",  # committed turns survive a power failure, not only a crash
            "foreign_keys = ON",
            "secure_delete = ON",  # deleted content is overwritten in the file
            "temp_store = MEMORY",
            "cache_size = -65536",
        ):
            connection.execute(f"PRAGMA {pragma}")
        with self._guard:
            self._connections.append(connection)
        return Database(connection)

    def _migrate(self) -> None:
        known = {step.name for step in migrations._migrations}
        applied = {step.name for step in migrations.applied(self.db)}
        if unknown := sorted(applied - known):
            raise StoreError(
                f"the store {self.path} was written by a newer memagent (it has {unknown[-1]}): "
                "upgrade memagent, or choose another with --store"
            )
        if applied == known:
            return
        if not applied and (tables := self.db.table_names()):
            raise StoreError(
                f"{self.path} is a database of another program (it has the table {tables[0]!r}): "
                "choose another file with --store"
            )
        self._enter_wal()
        with self.write() as db:
            migrations.apply(db)

    def _enter_wal(self) -> None:
        # Two processes may create the store at the same time; SQLite does not wait for this lock.
        for attempt in range(100):
            try:
                self.db.conn.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or attempt == 99:
                    raise
                time.sleep(0.05)

    def _explain(self, message: str) -> str:
        cures = {
            "is locked": f"is busy: another process has been writing for {BUSY_SECONDS} s; "
            "wait for it to end and try again",
            "disk is full": "has no room left on its disk: nothing stored was lost; "
            "free some space and run the command again",
            "disk I/O error": "cannot be written (disk I/O error): nothing stored was lost; "
            "check the disk and its free space, then run the command again",
            "readonly database": "is read-only: make the file and its folder writable, "
            "or copy it and choose the copy with --store",
            "unable to open": "cannot be opened: check that the folder exists and is writable, "
            "or choose another with --store or MEMAGENT_STORE",
            "not a database": "is not a memagent store: choose another file with --store",
            "malformed": "is damaged: copy it aside, then recover its text with "
            "`sqlite3 STORE .recover`, or restore a backup",
        }
        for phrase, cure in cures.items():
            if phrase in message:
                return f"the store {self.path} {cure}"
        return f"the store {self.path} failed: {message}"
