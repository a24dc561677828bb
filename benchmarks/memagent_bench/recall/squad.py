"""SQuAD and XQuAD as histories: a few articles, of which a question needs one paragraph
(arXiv:1606.05250, 1910.11856)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from memagent_bench.recall.items import Asked, History, Turn

__all__ = ["articles"]

_ARTICLES = 4  # of a history


def articles(value: dict[str, Any]) -> Iterator[History]:
    """Histories of a few articles each. KeyError or TypeError where it is of another format."""
    every = value["data"]
    for first in range(0, len(every), _ARTICLES):
        group = every[first : first + _ARTICLES]
        paragraphs = [paragraph for article in group for paragraph in article["paragraphs"]]
        asked = [
            Asked(row["question"].strip(), "paragraph", (number,))
            for number, paragraph in enumerate(paragraphs)
            for row in paragraph["qas"]
        ]
        turns = tuple(Turn(0, "", paragraph["context"].strip()) for paragraph in paragraphs)
        yield History(str(group[0].get("title") or len(turns)), turns, tuple(asked))
