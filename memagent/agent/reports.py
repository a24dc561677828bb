"""Answers, recalls and events as the JSON objects that `schemas/` describes."""

from __future__ import annotations

import dataclasses
from typing import Any

from memagent.memory.recall.selection import Recalled
from memagent.types import Answer, Event

__all__ = ["answer_object", "event_object", "search_object"]


def answer_object(answer: Answer, *, explain: bool = False) -> dict[str, Any]:
    """An answer as the JSON that schemas/answer.json describes."""
    # The report is plain data already, and as a copy it would cost more than all the rest.
    value = dataclasses.asdict(dataclasses.replace(answer, explain={}))
    del value["explain"]
    return {**value, "explain": answer.explain} if explain else value


def search_object(found: Recalled, limit: int, *, explain: bool = False) -> dict[str, Any]:
    """The recall of a query as the JSON that schemas/search.json describes, best event first."""
    value: dict[str, Any] = {
        "query": found.question,
        "hits": [
            {
                **event_object(hit.event),
                "valid": [each.report() for each in hit.event.intervals],
                "score": round(hit.score, 6),
                "ranks": hit.ranks,
                "via": hit.via,
                "tokens": hit.tokens,
            }
            for hit in found.best[:limit]
        ],
    }
    return {**value, "explain": found.report()} if explain else value


def event_object(event: Event) -> dict[str, Any]:
    """An event as it is stored."""
    value = dataclasses.asdict(event)
    del value["intervals"]
    return value
