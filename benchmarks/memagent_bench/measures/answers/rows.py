"""The answers of a run as JSON Lines, written one by one, so that a stopped run can go on.

The first line names what the run was made with; each other line is an answer with its verdict.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memagent.errors import InputError, UsageError

__all__ = ["Rows", "read_rows"]

_Key = tuple[str, str, str]  # set, arm and id of the question


class Rows:
    """The answers so far, in memory and in `path` unless that is None.

    `run` describes engine and settings. Without `resume` the file must not exist; with it, the
    file must be of the same run, and answers that failed are asked for again. Raises UsageError
    otherwise, and InputError for a file that cannot be read or written.
    """

    def __init__(self, path: Path | None, run: Mapping[str, Any], *, resume: bool = False) -> None:
        self.path = path
        self.done: dict[_Key, dict[str, Any]] = {}
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
        before, self.done = _decoded(path, lines)
        for name in sorted({*before, *run}):
            if before.get(name) != run.get(name):
                raise UsageError(
                    f"{path} was made with {name} {before.get(name)!r}, not {run.get(name)!r}: "
                    "give another --rows"
                )


def read_rows(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What a file's answers were made with, and the answers.

    Raises InputError if it cannot be read, and UsageError if it holds something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    run, done = _decoded(path, lines)
    return run, [*done.values()]


def _decoded(path: Path, lines: list[str]) -> tuple[dict[str, Any], dict[_Key, dict[str, Any]]]:
    try:
        rows = [json.loads(line) for line in lines]
        run: dict[str, Any] = rows[0]["run"]
        return run, {
            (row["set"], row["arm"], row["id"]): {"model": run["model"], **row} for row in rows[1:]
        }
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UsageError(f"{path} holds no rows of `bench answers`: give another file") from error
