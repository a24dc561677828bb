"""FairytaleQA as histories: a story by sections, of which a question needs some."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from memagent.bench.qa.fairytale import read_rows
from memagent.bench.recall.items import Asked, History, Turn

__all__ = ["stories"]


def stories(files: Mapping[str, str], part: str) -> Iterator[History]:
    """The stories of the split `part` ('train' or 'val'); `files` maps paths to their text."""
    for path, text in sorted(files.items()):
        folders = PurePosixPath(path).parts
        if folders[-3:-1] != ("questions", part):
            continue
        root = PurePosixPath(*folders[:-3])
        story = PurePosixPath(path).name.removesuffix("-questions.csv")
        rows = read_rows(files[str(root / "section-stories" / part / f"{story}-story.csv")])
        numbers = {row["section"]: number for number, row in enumerate(rows)}
        asked, unresolved = [], 0
        for row in read_rows(text):
            wanted = [number.strip() for number in row["cor_section"].split(",")]
            gold = tuple(sorted({numbers[number] for number in wanted if number in numbers}))
            unresolved += not gold
            if gold:
                asked.append(Asked(row["question"].strip(), row["local-or-sum"].strip(), gold))
        turns = tuple(Turn(0, "", row["text"].strip()) for row in rows)
        yield History(story, turns, tuple(asked), unresolved)
