"""FairytaleQA: questions about sections of stories (arXiv:2203.13947).

Many answers are written freely; a span is known where the words stand in the section.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import PurePosixPath

from memagent.bench.qa.items import Item, find_all

__all__ = ["fairytale", "read_rows"]

_ANSWERS = ("answer1", "answer2", "answer3", "answer4", "answer5", "answer6")


def fairytale(files: Mapping[str, str], part: str) -> list[Item]:
    """Items of the split `part` ('train' or 'val'), a story a group.

    `files` maps the paths of the archive to their text. A question about several sections has
    them all as its passage. KeyError where the questions of a story lack its sections.
    """
    items = []
    for path, text in sorted(files.items()):
        folders = PurePosixPath(path).parts
        if folders[-3:-1] != ("questions", part):
            continue
        root = PurePosixPath(*folders[:-3])
        story = PurePosixPath(path).name.removesuffix("-questions.csv")
        sections = {
            row["section"]: row["text"].strip()
            for row in read_rows(files[str(root / "section-stories" / part / f"{story}-story.csv")])
        }
        for row in read_rows(text):
            wanted = [number.strip() for number in row["cor_section"].split(",")]
            passage = "\n\n".join(sections[number] for number in wanted if number in sections)
            answers = tuple(a.strip() for name in _ANSWERS if (a := row.get(name) or "").strip())
            if passage and answers:
                spans = tuple(s for answer in answers for s in find_all(passage, answer))
                items.append(
                    Item("fairytaleqa", story, row["question"].strip(), passage, spans, answers)
                )
    return items


def read_rows(text: str) -> list[dict[str, str]]:
    """The rows of a file of the set, by column."""
    return list(csv.DictReader(io.StringIO(text)))
