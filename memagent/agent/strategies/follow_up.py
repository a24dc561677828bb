"""Successive Prompting: the evidence for one question is looked up by several simple ones.

Dua et al., "Successive Prompting for Decomposing Complex Questions",
https://arxiv.org/abs/2212.04092. The simple questions are written one at a time, each with what
the ones before it found in view; they are not answered by themselves. Ends at the latest after as
many questions as the setting `hops` says.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import chain, zip_longest

from langgraph.runtime import Runtime

from memagent.agent.turn import Turn, TurnState
from memagent.memory.recall.selection import Hit, Recalled, choose
from memagent.memory.segmentation.sentences import estimate_tokens
from memagent.prompts.load import render

__all__ = ["follow_up", "goes_on", "share"]

# Tokens for a question to look up, or for the word that nothing is missing; longest such question
# in characters, and tokens of events in view when it is written.
_NEXT_QUESTION = 96
_LONGEST = 300
_IN_VIEW = 1000
_MARKS = ("?", "？", "؟")


def goes_on(state: TurnState, turn: Turn) -> bool:
    """Whether one more question may be written."""
    allowed = turn.settings.hops if turn.engine.capabilities.generates else 0
    return not state["enough"] and len(state["questions"]) < allowed


def follow_up(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    """Have the engine write one more question and recall for it.

    What it writes ends the rounds where it is no new, short question.
    """
    turn = runtime.context
    found, asked = state["found"], state["questions"]
    budget = found[0].budget
    prompt = render("next_question.md.j2", question=state["question"], asked=asked)
    hits = share(found, min(budget, _IN_VIEW)).chosen
    written, used = turn.side_call(prompt, hits, state["since"], max_tokens=_NEXT_QUESTION)
    usage = state["usage"] + used
    following = _question(written)
    before = [state["question"], *asked]
    # Weak models say parts of the instruction again, its example above all.
    if following is None or following in prompt or _words(following) in map(_words, before):
        return {"enough": True, "usage": usage}
    return {
        "found": (*found, turn.find(following, budget, state["since"])),
        "questions": (*asked, following),
        "usage": usage,
    }


def share(found: Sequence[Recalled], budget: int) -> Recalled:
    """One recall of several under one budget, which each spends on its next best event in turn."""
    if len(found) == 1 and budget == found[0].budget:
        return found[0]
    ranked = [(*each.best, *each.left_out) for each in found]
    hits: dict[int, Hit] = {}
    for hit in chain.from_iterable(zip_longest(*ranked)):
        if hit is not None:
            hits.setdefault(hit.event.id, hit)
    channels = Counter[str]()
    for each in found:
        channels.update(each.channels)
    return choose(
        found[0].question,
        list(hits.values()),
        lambda event: (),
        estimate_tokens,
        budget=budget,
        contiguity=0.0,
        channels=dict(channels),
    )


def _question(said: str) -> str | None:
    """The first line that asks, without list mark and quotes; None where there is none or it is
    too long."""
    lines = (line.strip(" \t-*\"'“”„") for line in said.splitlines())
    first = next((line for line in lines if line.endswith(_MARKS)), None)
    return first if first is not None and len(first) <= _LONGEST else None


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
