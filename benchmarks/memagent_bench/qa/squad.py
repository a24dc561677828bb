"""Questions in the format of SQuAD 1.1, which XQuAD shares (arXiv:1606.05250, 1910.11856)."""

from __future__ import annotations

from typing import Any

from memagent_bench.qa.items import Item

__all__ = ["squad"]


def squad(value: dict[str, Any], source: str = "xquad") -> list[Item]:
    """Items of a decoded file, an article a group. KeyError where it is of another format."""
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
