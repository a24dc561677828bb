"""What an answer rests on: its citations, and whether they answer the question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from memagent.agent.attribution import attribute
from memagent.agent.citations import attention_citations, check, with_validity
from memagent.agent.strategies.verify import verify, wants_verification
from memagent.agent.turn import Turn, TurnState
from memagent.agent.unknown_names import unknown_names
from memagent.errors import EngineError
from memagent.memory.store.answers import CitationRow
from memagent.types import Usage

__all__ = ["Grounds", "ground"]


@dataclass(frozen=True, slots=True)
class Grounds:
    """The citations of an answer, and what they tell.

    `found`: memory holds the answer. `quotes`: the answer itself cites or quotes what is stored.
    `usage` and `trace`: tokens and report of the model's check, if there was one.
    """

    rows: Sequence[CitationRow]
    found: bool
    quotes: bool
    usage: Usage = field(default_factory=Usage)
    trace: tuple[dict[str, Any], ...] = ()


def ground(state: TurnState, turn: Turn) -> Grounds:
    """Check the citations of an answer, add those that its words have, and verify them.

    An answer to a single question counts as not found, as the model's own invention, if no stored
    text supports it or the question is about a name that is not stored.
    """
    text, question = state["text"], state["question"]
    events = [hit.event for hit in state["hits"]]
    rows = check(text, events, question)
    quotes = any(row.verified for row in rows)
    rows += attention_citations(state["attention"], events, rows)
    found = state["answered"]
    if turn.engine.capabilities.generates and found:
        said = [message.content for message in state["messages"][:-1]]
        rows += attribute(text, events, question, said, asked=turn.asked)
        rows = list(dict.fromkeys(rows))
        if turn.asked:
            supported = any(row.verified for row in rows)
            found = supported and not unknown_names(turn.memory, question, events)
    dated = with_validity(rows, events)
    if not (found and state["ended"] == "stop" and wants_verification(turn)):
        return Grounds(dated, found, quotes)
    try:
        verdict = verify(turn, question, events, rows)
    except EngineError:  # an answer that cannot be checked stands
        return Grounds(dated, found, quotes)
    step = {"step": "verify", "found": verdict.found, "uncertainty": verdict.uncertainty}
    return Grounds(dated, verdict.found, quotes, verdict.usage, (step,))
