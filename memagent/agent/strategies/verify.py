"""Ask the model whether the text behind its answer answers the question.

A small model answers a question whose answer is not stored with something that looks like it: the
number of another row, the name of another person. Shown only the cited text and asked for Yes or
No, a model of 1.5 B parameters recognizes most of these, and doubts many right answers as well; one
of 0.5 B answers at random. So it is off unless asked for. It takes one short call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memagent.agent.thinking import side_thinking
from memagent.agent.turn import Turn
from memagent.memory.store.answers import CitationRow
from memagent.prompts.load import render
from memagent.types import Event, Message, Request, Usage

__all__ = ["Verdict", "verify", "wants_verification"]

_TOKENS = 4
_MOST_EVENTS = 2
# Nats. A Yes that is less certain than this counts as No, where the engine tells.
_MOST_UNCERTAIN = 0.66


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the model found the answer in the cited text, and how uncertain it was, in nats."""

    found: bool
    uncertainty: float | None
    usage: Usage


def wants_verification(turn: Turn) -> bool:
    """Whether the answers to single questions are verified."""
    return turn.asked and turn.settings.verify


def verify(
    turn: Turn, question: str, events: Sequence[Event], rows: Sequence[CitationRow]
) -> Verdict:
    """Ask the model for the answer to `question` in the events that `rows` cite; EngineError."""
    numbers = list(dict.fromkeys(row.number for row in rows if row.verified))
    cited = [events[number - 1] for number in numbers[:_MOST_EVENTS]]
    reply = turn.engine.complete(
        Request(
            messages=(
                Message("system", "You check answers."),
                Message("user", render("verify.md.j2", events=cited, question=question)),
            ),
            question=question,
            max_tokens=_TOKENS,
            temperature=0.0,
            uncertainty=True,
            thinking=side_thinking(turn.settings),
        )
    )
    says_yes = reply.text.lstrip(" \n\"'*").casefold().startswith("yes")
    certain = reply.uncertainty is None or reply.uncertainty <= _MOST_UNCERTAIN
    return Verdict(says_yes and certain, reply.uncertainty, reply.usage or Usage())
