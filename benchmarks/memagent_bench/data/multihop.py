"""HotpotQA and MuSiQue as histories: all paragraphs of a file in one document.

A question needs several of them (arXiv:1809.09600, 2108.00573).
"""

from __future__ import annotations

from typing import Any

from memagent_bench.data.items import Asked, History, Turn

__all__ = ["multihop"]


def multihop(name: str, rows: list[dict[str, Any]]) -> History:
    """The questions of a file. Raises KeyError, TypeError or ValueError for another format."""
    numbers: dict[str, int] = {}
    asked = []
    for row in rows:
        paragraphs = _hotpot(row) if "context" in row else _musique(row)
        for paragraph in paragraphs:
            numbers.setdefault(paragraph, len(numbers))
        gold = sorted({numbers[text] for text, needed in paragraphs.items() if needed})
        asked.append(Asked(row["question"].strip(), "multi-hop", tuple(gold)))
    return History(name, tuple(Turn(0, "", text) for text in numbers), tuple(asked))


def _hotpot(row: dict[str, Any]) -> dict[str, bool]:
    needed = {title for title, _ in row["supporting_facts"]}
    return {f"{title}\n{''.join(text)}".strip(): title in needed for title, text in row["context"]}


def _musique(row: dict[str, Any]) -> dict[str, bool]:
    return {
        f"{each['title']}\n{each['paragraph_text']}".strip(): bool(each["is_supporting"])
        for each in row["paragraphs"]
    }
