"""The working memory and plans of a session: short numbered lines, with a version per change.

The lines are written by the user or the model, never by recalled text, and each line records the
spans it comes from. RecurrentGPT, https://arxiv.org/abs/2305.13304, calls them short-term memory
and plans.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from memagent.errors import NotFoundError
from memagent.memory.store.database import Store, now
from memagent.memory.store.spans import check_text

__all__ = ["MOST_LINES", "MOST_WORDS", "Line", "Version", "Working", "forget_lines", "within"]

# Limits on what a model may write, and on how much of the user's lines goes into a prompt.
MOST_LINES = 20
MOST_WORDS = 500


@dataclass(frozen=True, slots=True)
class Line:
    """A line and the ids of the spans it comes from; no ids if the user typed it."""

    text: str
    sources: tuple[int, ...] = ()

    @property
    def words(self) -> int:
        """The number of words."""
        return len(self.text.split())


@dataclass(frozen=True, slots=True)
class Version:
    """The lines after a change, with its reason, source spans and time.

    The first line of `reason` says what made the change, the others explain each changed line.
    """

    number: int
    lines: tuple[Line, ...]
    reason: str
    sources: tuple[int, ...]
    created: str


class Working:
    """All versions of the working memory or the plan of one session."""

    def __init__(
        self, store: Store, session_id: int, kind: Literal["memory", "plan"] = "memory"
    ) -> None:
        self.store = store
        self.session_id = session_id
        self.kind = kind

    def lines(self, version: int | None = None, *, at: str | None = None) -> list[str]:
        """The newest lines, those of a version, or those at a time (ISO 8601 in UTC).

        Version 0 is empty. Raises NotFoundError for an unknown version.
        """
        return [line.text for line in self.sourced(version, at=at)]

    def sourced(self, version: int | None = None, *, at: str | None = None) -> tuple[Line, ...]:
        """Like `lines`, with the sources of each line."""
        if version == 0:
            return ()
        found = self._read(
            "(? IS NULL OR version = ?) AND (? IS NULL OR created <= ?)"
            " ORDER BY version DESC LIMIT 1",
            version,
            version,
            at,
            at,
        )
        if not found and version is not None:
            raise NotFoundError(f"the {self.kind} of this session has no version {version}")
        return found[0].lines if found else ()

    @property
    def version(self) -> int:
        """The number of the newest version; 0 if there is none."""
        row = self.store.row(
            "SELECT max(version) AS v FROM working WHERE session_id = ? AND kind = ?",
            self.session_id,
            self.kind,
        )
        return int(row["v"] or 0) if row else 0

    def newest(self, *, at: str | None = None) -> Version | None:
        """The newest version, or the one in effect at time `at`; None if there is none."""
        found = self._read("(? IS NULL OR created <= ?) ORDER BY version DESC LIMIT 1", at, at)
        return found[0] if found else None

    def history(self) -> list[Version]:
        """All versions, oldest first."""
        return self._read("1 ORDER BY version")

    def replace(
        self,
        lines: Sequence[str | Line],
        reason: str,
        *,
        sources: Iterable[int] = (),
        time: str | None = None,
    ) -> int:
        """Store a new version; returns its number. Blank lines are removed.

        A string that equals a current line keeps that line's sources. `sources` are the spans on
        which the whole change is based; `time` overrides its creation time.
        """
        with self.store.write() as db:
            before = {line.text: line for line in self.sourced()}
            given = (
                line if isinstance(line, Line) else before.get(line.strip(), Line(line))
                for line in lines
            )
            kept = [
                {"text": check_text(line.text.strip()), "sources": line.sources}
                for line in given
                if line.text.strip()
            ]
            version = self.version + 1
            db.execute(
                """INSERT INTO working (session_id, kind, version, lines, reason, created)
                   VALUES (?, ?, ?, ?, ?, ?)""",
                [
                    self.session_id,
                    self.kind,
                    version,
                    json.dumps({"lines": kept, "sources": list(sources)}),
                    reason,
                    time or now(),
                ],
            )
        return version

    def undo(self) -> int:
        """Restore the lines from before the last change, as a new version; returns its number."""
        with self.store.write():
            if self.version == 0:
                raise NotFoundError(f"the {self.kind} of this session has nothing to undo")
            return self.replace(self.sourced(self.version - 1), "undo")

    def diff(self) -> list[str]:
        """The last change as lines of a unified diff."""
        version = self.version
        if version == 0:
            return []
        before, after = self.lines(version - 1), self.lines(version)
        return list(
            difflib.unified_diff(
                before, after, f"version {version - 1}", f"version {version}", lineterm=""
            )
        )

    def _read(self, where: str, *parameters: Any) -> list[Version]:
        rows = self.store.rows(
            f"""SELECT version, lines, reason, created FROM working
                WHERE session_id = ? AND kind = ? AND {where}""",
            self.session_id,
            self.kind,
            *parameters,
        )
        return [_version(row) for row in rows]


def within(lines: Sequence[Line], most: int = MOST_LINES, words: int = MOST_WORDS) -> int:
    """How many of the last lines fit into limits of `most` lines and `words` words."""
    room = words
    for count, line in enumerate(reversed(lines)):
        room -= line.words
        if count == most or room < 0:
            return count
    return len(lines)


def forget_lines(store: Store, session_id: int, spans: Iterable[int]) -> None:
    """Delete the lines based on these spans from all versions, and reasons that may quote them."""
    gone = set(spans)
    with store.write() as db:
        for row in store.rows("SELECT * FROM working WHERE session_id = ?", session_id):
            version = _version(row)
            kept = [line for line in version.lines if not gone.intersection(line.sources)]
            if len(kept) == len(version.lines) and not gone.intersection(version.sources):
                continue
            stored = {
                "lines": [{"text": line.text, "sources": line.sources} for line in kept],
                "sources": version.sources,
            }
            db.execute(
                "UPDATE working SET lines = ?, reason = ? WHERE id = ?",
                [json.dumps(stored), version.reason.split("\n")[0], row["id"]],
            )


def _version(row: dict[str, Any]) -> Version:
    stored = json.loads(row["lines"])
    if isinstance(stored, list):  # from a version of memagent whose lines had no sources
        stored = {"lines": [{"text": text, "sources": ()} for text in stored], "sources": ()}
    return Version(
        row["version"],
        tuple(Line(line["text"], tuple(line["sources"])) for line in stored["lines"]),
        row["reason"],
        tuple(stored["sources"]),
        row["created"],
    )
