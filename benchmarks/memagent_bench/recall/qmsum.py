"""QMSum: meetings, and questions about stretches of them (arXiv:2104.05938)."""

from __future__ import annotations

from typing import Any

from memagent_bench.recall.items import Asked, History, Turn

__all__ = ["qmsum"]


def qmsum(name: str, meeting: dict[str, Any]) -> History:
    """A meeting with its specific queries: a general one is about all of it.

    KeyError, TypeError or ValueError where it is not in the set's format.
    """
    turns = tuple(
        Turn(0, row["speaker"], row["content"].strip()) for row in meeting["meeting_transcripts"]
    )
    asked, unresolved = [], 0
    for row in meeting["specific_query_list"]:
        found = _turns(row["relevant_text_span"], len(turns))
        unresolved += not found
        if found:
            asked.append(Asked(row["query"], "specific", tuple(sorted(found))))
    return History(name, turns, tuple(asked), unresolved)


def _turns(spans: list[list[str]], count: int) -> set[int]:
    """The numbers of the turns in spans, whose ends are inclusive."""
    return {turn for first, last in spans for turn in range(int(first), int(last) + 1)} & set(
        range(count)
    )
