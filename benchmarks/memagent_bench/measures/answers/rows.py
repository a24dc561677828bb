"""The answers of a run as JSON Lines, written one by one, so that a stopped run can go on.

The first line names what the run was made with; each other line is an answer with its verdict.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from memagent.errors import InputError, UsageError

__all__ = ["Rows"]

_KEY = ("set", "arm", "id")


class Rows:
    """The answers so far, in memory and in `path` unless that is None.

    `run` describes engine and settings. Without `resume` the file must not exist; with it, the
    file must be of the same run, and answers that failed are asked for again. Raises UsageError
    otherwise, and InputError for a file that cannot be read or written.
    """

    def __init__(self, path: Path | None, run: Mapping[str, Any], *, resume: bool = False) -> None:
        self.path = path
        self.done: dict[tuple[str, str, str], dict[str, Any]] = {}
        if path is None:
            return
        try:
            known = path.exists() and path.stat().st_size > 0
            if known:
                self._read(path, run, resume)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise InputError(f"{path} cannot be used ({error.strerror}): choose --rows") from error
        if not known:
            self._write({"run": dict(run)})

    def has(self, name: str, arm: str, question: str) -> bool:
        """Whether a question was answered."""
        row = self.done.get((name, arm, question))
        return row is not None and row["verdict"] != "failed"

    def add(self, row: Mapping[str, Any]) -> None:
        """Keep an answer; it is in the file when this returns."""
        self.done[(row["set"], row["arm"], row["id"])] = dict(row)
        if self.path is not None:
            self._write(row)

    def close(self) -> None:
        """Close the file."""
        if self.path is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self, row: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._file.flush()

    def _read(self, path: Path, run: Mapping[str, Any], resume: bool) -> None:
        if not resume:
            raise UsageError(f"{path} exists: give --resume to go on with it, or another --rows")
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        if not text.endswith("\n"):
            # The run was killed in the middle of a line.
            lines.pop()
            path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        try:
            rows = [json.loads(line) for line in lines]
            before = rows[0]["run"]
            self.done = {tuple(row[name] for name in _KEY): row for row in rows[1:]}
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise UsageError(f"{path} holds no rows of this bench: give another --rows") from error
        for name in sorted({*before, *run}):
            if before.get(name) != run.get(name):
                raise UsageError(
                    f"{path} was made with {name} {before.get(name)!r}, not {run.get(name)!r}: "
                    "give another --rows"
                )
