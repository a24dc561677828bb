"""FairytaleQA as histories: a story by sections, of which a question needs some."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from memagent_bench.qa.fairytale import sections_of, tales
from memagent_bench.recall.items import Asked, History, Turn

__all__ = ["stories"]


def stories(files: Mapping[str, str], part: str) -> Iterator[History]:
    """The stories of the split `part` ('train' or 'val'); `files` maps paths to their text."""
    for tale in tales(files, part):
        numbers = {row["section"]: number for number, row in enumerate(tale.sections)}
        asked, unresolved = [], 0
        for row in tale.questions:
            wanted = sections_of(row)
            gold = tuple(sorted({numbers[number] for number in wanted if number in numbers}))
            unresolved += not gold
            if gold:
                asked.append(Asked(row["question"].strip(), row["local-or-sum"].strip(), gold))
        turns = tuple(Turn(0, "", row["text"].strip()) for row in tale.sections)
        yield History(tale.name, turns, tuple(asked), unresolved)
