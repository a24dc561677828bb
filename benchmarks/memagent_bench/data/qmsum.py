"""QMSum: meetings, their topics, and questions about parts of them (arXiv:2104.05938)."""

from __future__ import annotations

from typing import Any

from memagent_bench.data.items import (
    Asked,
    Document,
    History,
    Turn,
    inner_boundaries,
    one_line,
)

__all__ = ["qmsum", "topics"]


def qmsum(name: str, meeting: dict[str, Any]) -> History:
    """A meeting with its specific queries; general ones are about the whole meeting.

    Raises KeyError, TypeError or ValueError for another format.
    """
    turns = tuple(
        Turn(0, row["speaker"], row["content"].strip()) for row in meeting["meeting_transcripts"]
    )
    asked, unresolved = [], 0
    for row in meeting["specific_query_list"]:
        found = _turns(row["relevant_text_span"], len(turns))
        unresolved += not found
        if found:
            answers = (row["answer"],) if "answer" in row else ()
            asked.append(Asked(row["query"], "specific", tuple(sorted(found)), answers))
    return History(name, turns, tuple(asked), unresolved)


def topics(name: str, meeting: dict[str, Any]) -> Document:
    """A meeting with a boundary wherever a span of turns of a topic starts."""
    units = tuple(
        f"{row['speaker']}: {one_line(row['content'])}" for row in meeting["meeting_transcripts"]
    )
    spans = (span for topic in meeting["topic_list"] for span in topic["relevant_text_span"])
    return Document(name, units, inner_boundaries((int(first) for first, _ in spans), len(units)))


def _turns(spans: list[list[str]], count: int) -> set[int]:
    """The numbers of the turns in `spans`, which include both ends."""
    return {turn for first, last in spans for turn in range(int(first), int(last) + 1)} & set(
        range(count)
    )
