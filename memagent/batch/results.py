"""The results of a scripted batch: one JSON line per finished row, synced to disk.

Knows nothing of the operations.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import sys
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from memagent.batch.rows import Row, RowId
from memagent.errors import InputError, UsageError

__all__ = ["Results"]


class Results:
    """Appends result lines to `path`, or to stdout if it is None.

    With `resume`, an existing file is continued: an incomplete last line is removed, and `has`
    tells which rows it already contains. Raises UsageError for an existing file without `resume`,
    and if another batch is writing to it.
    """

    def __init__(self, path: Path | None, *, resume: bool) -> None:
        self.path = path
        self._ended: dict[tuple[str, RowId], bool] = {}
        if path is None:
            self._stream: BinaryIO | FileIO = sys.stdout.buffer
            return
        try:
            # Not "a": the file is read first, and an incomplete last line is removed.
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise UsageError(
                f"{path} cannot be written ({error.strerror}): choose another --out"
            ) from error
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise UsageError(f"{path} is not a regular file: leave --out out and redirect stdout")
        self._stream = os.fdopen(handle, "r+b", buffering=0)
        try:
            self._take_over(path, resume)
        except BaseException:
            self._stream.close()
            raise

    def has(self, row: Row) -> bool:
        """Whether the row ended in an earlier run."""
        return _identity(row) in self._ended

    def failed(self, row: Row) -> bool:
        """Whether the row failed in an earlier run."""
        return self._ended.get(_identity(row), False)

    def append(self, row: Row, outcome: dict[str, Any]) -> None:
        """Write one line; it is on disk when this returns."""
        value = {"id": row.id, **({"line": row.line} if row.id is None else {}), "op": row.op}
        text = json.dumps({**value, **outcome}, ensure_ascii=False) + "\n"
        # A lone surrogate in an id is written as the escape it was read from.
        data = text.encode("utf-8", "backslashreplace")
        try:
            while data:
                data = data[self._stream.write(data) :]
            self._stream.flush()
            if self.path is not None:
                os.fsync(self._stream.fileno())
        except BrokenPipeError:
            raise
        except OSError as error:
            raise InputError(
                f"the results cannot be written to {self.path or 'stdout'} ({error.strerror}): "
                "finished rows are kept; continue with --resume"
            ) from error

    def close(self) -> None:
        """Close the file; stdout stays open."""
        if self.path is not None:
            self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _take_over(self, path: Path, resume: bool) -> None:
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another batch is writing to {path}: wait for it to end") from None
        except OSError as error:
            # Some network file systems do not support locks.
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP):
                raise
        end = 0
        with path.open("rb") as before:
            for number, line in enumerate(before, start=1):
                if not resume:
                    raise UsageError(
                        f"{path} holds results already: continue that batch with --resume, "
                        "or choose another --out"
                    )
                if not line.endswith(b"\n"):
                    self._stream.truncate(end)
                    break
                self._note(path, number, line)
                end += len(line)
        self._stream.seek(end)

    def _note(self, path: Path, number: int, line: bytes) -> None:
        try:
            result = json.loads(line)
            position, failed = result.get("line"), result["status"] != "ok"
            identity = ("id", result["id"]) if position is None else ("line", position)
            self._ended[identity] = failed
        except (ValueError, TypeError, KeyError, AttributeError):
            raise UsageError(
                f"line {number} of {path} is not a batch result: choose another --out"
            ) from None


def _identity(row: Row) -> tuple[str, RowId]:
    return ("line", row.line) if row.id is None else ("id", row.id)
