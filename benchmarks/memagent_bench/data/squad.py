"""SQuAD 1.1, and XQuAD in the same format (arXiv:1606.05250, 1910.11856)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from memagent_bench.data.items import Asked, History, Item, Turn

__all__ = ["articles", "squad"]

_ARTICLES = 4  # in a history


def squad(value: dict[str, Any], source: str = "xquad") -> list[Item]:
    """Items of a decoded file, one group per article. Raises KeyError for another format."""
    items = []
    for article in value["data"]:
        for paragraph in article["paragraphs"]:
            passage = paragraph["context"]
            for row in paragraph["qas"]:
                texts = tuple(answer["text"] for answer in row["answers"])
                spans = tuple(
                    (answer["answer_start"], answer["answer_start"] + len(answer["text"]))
                    for answer in row["answers"]
                )
                group = article.get("title") or passage[:40]
                items.append(Item(source, group, row["question"], passage, spans, texts))
    return items


def articles(value: dict[str, Any]) -> Iterator[History]:
    """Histories of a few articles each; the evidence of a question is one paragraph.

    Raises KeyError or TypeError for another format.
    """
    every = value["data"]
    for first in range(0, len(every), _ARTICLES):
        group = every[first : first + _ARTICLES]
        paragraphs = [paragraph for article in group for paragraph in article["paragraphs"]]
        asked = [
            Asked(
                row["question"].strip(),
                "paragraph",
                (number,),
                tuple(answer["text"] for answer in row["answers"]),
            )
            for number, paragraph in enumerate(paragraphs)
            for row in paragraph["qas"]
        ]
        turns = tuple(Turn(0, "", paragraph["context"].strip()) for paragraph in paragraphs)
        yield History(str(group[0].get("title") or len(turns)), turns, tuple(asked))
