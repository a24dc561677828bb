"""QMSum: meetings, and questions about stretches of them (arXiv:2104.05938)."""

from __future__ import annotations

from typing import Any

from memagent.bench.recall.items import Asked, History, Turn

__all__ = ["qmsum", "topics"]


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


def topics(meeting: dict[str, Any]) -> list[int]:
    """The turns at which a topic begins, but for the first turn."""
    count = len(meeting["meeting_transcripts"])
    begins = set()
    for row in meeting["topic_list"]:
        begins |= {int(span[0]) for span in row["relevant_text_span"]}
    return sorted(begin for begin in begins if 0 < begin < count)


def _turns(spans: list[list[str]], count: int) -> set[int]:
    """The numbers of the turns in spans, whose ends are inclusive."""
    return {turn for first, last in spans for turn in range(int(first), int(last) + 1)} & set(
        range(count)
    )
