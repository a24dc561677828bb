"""Answers, recalls and events as JSON objects, and the report that explains an answer.

The objects are described by the files in `schemas/`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memagent.agent.turn import Turn, TurnState
    from memagent.memory.recall.selection import Hit, Recalled
    from memagent.memory.store.prompt_states import PromptState
    from memagent.types import Answer, Event

__all__ = ["answer_object", "event_object", "search_object", "turn_report"]


def answer_object(answer: Answer, *, explain: bool = False) -> dict[str, Any]:
    """An answer as the JSON that schemas/answer.json describes."""
    # Do not copy the report: it is plain data already, and large.
    value = dataclasses.asdict(dataclasses.replace(answer, explain={}))
    del value["explain"]
    value["thinking"] = answer.thinking or None
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


def turn_report(
    state: TurnState, turn: Turn, chosen: Sequence[tuple[int, Hit]], prompt: PromptState
) -> dict[str, Any]:
    """The report for --explain and /why."""
    packed, recalled = state["packed"], state["recalled"]
    kept = {hit.event.id for _, hit in chosen}
    in_prompt = dataclasses.replace(
        recalled,
        chosen=tuple(hit for _, hit in chosen),
        spent=sum(hit.tokens for _, hit in chosen),
        left_out=tuple(
            hit for hit in (*recalled.chosen, *recalled.left_out) if hit.event.id not in kept
        ),
    )
    report = in_prompt.report()
    for line, (number, _) in zip(report["chosen"], chosen, strict=True):
        line["number"] = number
    return {
        **report,
        "questions": list(state["questions"]),
        "trace": list(state["trace"]),
        "outline": [[hit.note, number] for number, hit in chosen] if state["outlined"] else [],
        "engine": turn.engine.name,
        "model": turn.engine.model,
        "prompt_tokens": packed.tokens,
        "history_turns": packed.log.turns,
        "tool_rounds": state["rounds"],
        "log": _log(prompt),
        "attention": [
            {
                "source": event.source,
                "source_id": event.source_id,
                "start": event.start,
                "end": event.end,
                "place": event.place,
                "share": round(share, 4),
            }
            for event, share in state["attention"]
        ],
    }


def _log(prompt: PromptState) -> dict[str, Any]:
    """The part of the report about the log."""
    by_recall = [event for event in prompt.events if event.origin == "recall"]
    return {
        "begun": prompt.begun,
        "carried": prompt.carried,
        "shown": [[*event.place, event.note] for event in by_recall],
        "again": list(prompt.recalled_again),
        "looked_up": [list(event.place) for event in prompt.events if event.origin == "tool"],
        "memory": prompt.memory,
        "plan": prompt.plan,
        "tokens": prompt.tokens,
    }
