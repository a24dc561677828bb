"""FairytaleQA: questions about sections of stories (arXiv:2203.13947).

Many answers are written freely; a span is known where the words stand in the section.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from memagent_bench.qa.items import Item, find_all

__all__ = ["Tale", "fairytale", "sections_of", "tales"]

_ANSWERS = ("answer1", "answer2", "answer3", "answer4", "answer5", "answer6")


@dataclass(frozen=True, slots=True)
class Tale:
    """A story: rows of its sections and of its questions, by column."""

    name: str
    sections: list[dict[str, str]]
    questions: list[dict[str, str]]


def tales(files: Mapping[str, str], part: str) -> Iterator[Tale]:
    """The stories of the split `part` ('train' or 'val').

    `files` maps the paths of the archive to their text. KeyError where the questions of a story
    lack its sections.
    """
    for path, text in sorted(files.items()):
        folders = PurePosixPath(path).parts
        if folders[-3:-1] != ("questions", part):
            continue
        root = PurePosixPath(*folders[:-3])
        name = PurePosixPath(path).name.removesuffix("-questions.csv")
        sections = files[str(root / "section-stories" / part / f"{name}-story.csv")]
        yield Tale(name, _rows(sections), _rows(text))


def sections_of(question: Mapping[str, str]) -> list[str]:
    """The sections that a question is about."""
    return [number.strip() for number in question["cor_section"].split(",")]


def fairytale(files: Mapping[str, str], part: str) -> list[Item]:
    """Items of the split `part`, a story a group; `files` as for `tales`.

    A question about several sections has them all as its passage.
    """
    items = []
    for tale in tales(files, part):
        sections = {row["section"]: row["text"].strip() for row in tale.sections}
        for row in tale.questions:
            wanted = sections_of(row)
            passage = "\n\n".join(sections[number] for number in wanted if number in sections)
            answers = tuple(a.strip() for name in _ANSWERS if (a := row.get(name) or "").strip())
            if passage and answers:
                spans = tuple(s for answer in answers for s in find_all(passage, answer))
                question = row["question"].strip()
                items.append(Item("fairytaleqa", tale.name, question, passage, spans, answers))
    return items


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))
