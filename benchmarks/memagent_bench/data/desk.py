"""A desk set: a folder of documents and chats with questions and the rules of right answers.

The folder holds `docs/` with files of any format, `chats.jsonl` with the user's turns (session,
text, time) and `questions.jsonl`. A question has an `id`, a `kind` and the `question`; `accept`,
`all` or `points` with `need` (regular expressions that make an answer right), `reject` (those that
make it wrong), `in_words` (quoted lines do not count), `evidence` (phrases of documents), `as_of`
(a date up to which the memory counts), or `unanswerable`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memagent.errors import InputError

__all__ = ["Desk", "is_desk", "read_desk"]

_QUESTIONS, _CHATS, _DOCUMENTS = "questions.jsonl", "chats.jsonl", "docs"
_RULES = ("accept", "all", "points", "unanswerable")


@dataclass(frozen=True, slots=True)
class Desk:
    """`documents` are (name, file) pairs; `turns` and `questions` are the lines of the files."""

    name: str
    documents: tuple[tuple[str, Path], ...]
    turns: tuple[Mapping[str, Any], ...]
    questions: tuple[Mapping[str, Any], ...]


def is_desk(path: Path) -> bool:
    """Whether `path` is the folder of a desk set."""
    return (path / _QUESTIONS).is_file()


def read_desk(path: Path) -> Desk:
    """The desk set in a folder. Raises InputError for damaged files or a question without rules."""
    folder = path / _DOCUMENTS
    documents = tuple(
        (file.relative_to(folder).as_posix(), file)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    )
    turns = _lines(path / _CHATS, ("session", "text")) if (path / _CHATS).is_file() else ()
    questions = _lines(path / _QUESTIONS, ("id", "kind", "question"))
    for row in questions:
        if not any(name in row for name in _RULES):
            raise InputError(
                f"{path / _QUESTIONS}: question {row['id']} needs one of {', '.join(_RULES)}"
            )
    return Desk(path.name, documents, turns, questions)


def _lines(path: Path, needed: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    rows = []
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if line.strip():
                row = json.loads(line)
                if missing := [name for name in needed if name not in row]:
                    raise InputError(f"{path}, line {number} lacks {', '.join(missing)}")
                rows.append(row)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error}): give a desk set") from error
    return tuple(rows)
