"""Running a scripted batch: which rows run concurrently, and when the batch stops.

Knows nothing of the operations.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from memagent.agent.workspace import Workspace
from memagent.batch.operations import Operations
from memagent.batch.results import Results
from memagent.batch.rows import Row
from memagent.errors import (
    InputError,
    MemagentError,
    NoAnswerError,
    ServerDownError,
    StoreError,
)
from memagent.memory.store.batches import Batches

__all__ = ["Batch"]

# Seconds that running rows get to finish after Ctrl-C.
_GRACE = 5.0


class Batch:
    """The rows of one input, run into one file of results.

    `add` and `forget` run alone, after all rows before them. Other rows run `concurrency` at a
    time, those of one session in order. With a concurrency of 1, all rows run in the order of the
    input in the calling thread. After `max_errors` failed rows, no further row starts. `ended` is
    called after each row with its error, if any.
    """

    def __init__(
        self,
        workspace: Workspace,
        record: Batches,
        results: Results,
        *,
        concurrency: int = 1,
        max_errors: int | None = None,
        ended: Callable[[Row, str | None], None] = lambda row, error: None,
    ) -> None:
        self._stopped = threading.Event()
        self.operations = Operations(workspace, record, self._stopped.is_set)
        self.results = results
        self.concurrency = concurrency
        self.max_errors = max_errors
        self.ended = ended
        self.ok = self.failed = self.skipped = self.failed_before = 0
        self.stuck = False
        """Whether a stopped row did not end in time, so that its thread is still running."""
        self._lock = threading.Lock()
        self._lanes: dict[object, deque[Row]] = {}
        self._pending: set[Future[None]] = set()

    @property
    def gave_up(self) -> bool:
        """Whether `max_errors` rows failed."""
        return self.max_errors is not None and self.failed >= self.max_errors

    def run(self, rows: Iterable[Row]) -> None:
        """Run the rows that have no result yet. Raises the first StoreError or ServerDownError."""
        pool = ThreadPoolExecutor(self.concurrency) if self.concurrency > 1 else None
        try:
            for row in rows:
                if self.gave_up:
                    break
                if self.results.has(row):
                    self.skipped += 1
                    self.failed_before += self.results.failed(row)
                elif pool is None or row.barrier:
                    self._wait(0)
                    self._finish(row)
                else:
                    self._submit(pool, row)
                    self._wait(4 * self.concurrency)
            self._wait(0)
            self.operations.catch_up()
        finally:
            self._stopped.set()
            if pool is not None:
                pool.shutdown(wait=False, cancel_futures=True)
                self.stuck = bool(wait(self._pending, _GRACE).not_done)

    def _submit(self, pool: ThreadPoolExecutor, row: Row) -> None:
        if row.lane is None:
            self._pending.add(pool.submit(self._finish, row))
            return
        with self._lock:
            lane = self._lanes.get(row.lane)
            if lane is not None:
                lane.append(row)
                return
            self._lanes[row.lane] = deque([row])
        self._pending.add(pool.submit(self._follow, row.lane))

    def _follow(self, name: object) -> None:
        """Run the rows of a lane in order, including those appended meanwhile."""
        while True:
            with self._lock:
                lane = self._lanes[name]
                if not lane:
                    del self._lanes[name]
                    return
                row = lane.popleft()
            self._finish(row)

    def _wait(self, most: int) -> None:
        """Wait until at most `most` rows or lanes are running; raises the error of a failed one."""
        while len(self._pending) > most:
            done, self._pending = wait(self._pending, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()

    def _finish(self, row: Row) -> None:
        if self._stopped.is_set() or self.gave_up:
            return
        error = row.error
        outcome: dict[str, Any]
        try:
            if error is not None:
                raise InputError(error)
            outcome = {"status": "ok", "result": self.operations.run(row)}
        except (StoreError, ServerDownError):
            # Later rows would fail the same way, and a failed row is not run again.
            raise
        except MemagentError as failure:
            error = " ".join(str(failure).split("\n"))
            outcome = {"status": "error", "error": error}
            if isinstance(failure, NoAnswerError):
                outcome["ended"] = failure.ended
        with self._lock:
            self.results.append(row, outcome)
            if error is None:
                self.ok += 1
            else:
                self.failed += 1
            self.ended(row, error)
