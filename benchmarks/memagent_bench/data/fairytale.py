"""FairytaleQA: questions about sections of stories (arXiv:2203.13947).

Many answers are free text; an answer has spans only where the section contains it verbatim.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from memagent_bench.data.items import Asked, History, Item, Turn, find_all

__all__ = ["Tale", "fairytale", "stories", "tales"]

_ANSWERS = ("answer1", "answer2", "answer3", "answer4", "answer5", "answer6")


@dataclass(frozen=True, slots=True)
class Tale:
    """A story: the rows of its sections and of its questions, by column."""

    name: str
    sections: list[dict[str, str]]
    questions: list[dict[str, str]]


def tales(files: Mapping[str, str], part: str) -> Iterator[Tale]:
    """The stories of the split `part` ('train' or 'val').

    `files` maps the paths in the archive to their text. Raises KeyError if the sections of a
    story are missing.
    """
    for path, text in sorted(files.items()):
        folders = PurePosixPath(path).parts
        if folders[-3:-1] != ("questions", part):
            continue
        root = PurePosixPath(*folders[:-3])
        name = PurePosixPath(path).name.removesuffix("-questions.csv")
        sections = files[str(root / "section-stories" / part / f"{name}-story.csv")]
        yield Tale(name, _rows(sections), _rows(text))


def fairytale(files: Mapping[str, str], part: str) -> list[Item]:
    """Items of the split `part`, one group per story; `files` as for `tales`.

    The passage of a question about several sections joins all of them.
    """
    items = []
    for tale in tales(files, part):
        sections = {row["section"]: row["text"].strip() for row in tale.sections}
        for row in tale.questions:
            wanted = _sections_of(row)
            passage = "\n\n".join(sections[number] for number in wanted if number in sections)
            answers = tuple(a.strip() for name in _ANSWERS if (a := row.get(name) or "").strip())
            if passage and answers:
                spans = tuple(s for answer in answers for s in find_all(passage, answer))
                question = row["question"].strip()
                items.append(Item("fairytaleqa", tale.name, question, passage, spans, answers))
    return items


def stories(files: Mapping[str, str], part: str) -> Iterator[History]:
    """Histories of the split `part`, one turn per section; `files` as for `tales`."""
    for tale in tales(files, part):
        numbers = {row["section"]: number for number, row in enumerate(tale.sections)}
        asked, unresolved = [], 0
        for row in tale.questions:
            wanted = _sections_of(row)
            gold = tuple(sorted({numbers[number] for number in wanted if number in numbers}))
            unresolved += not gold
            if gold:
                asked.append(Asked(row["question"].strip(), row["local-or-sum"].strip(), gold))
        turns = tuple(Turn(0, "", row["text"].strip()) for row in tale.sections)
        yield History(tale.name, turns, tuple(asked), unresolved)


def _sections_of(question: Mapping[str, str]) -> list[str]:
    """The sections that a question is about."""
    return [number.strip() for number in question["cor_section"].split(",")]


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))
