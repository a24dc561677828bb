"""Successive Prompting: look up the evidence for a question with several simple questions.

Dua et al., "Successive Prompting for Decomposing Complex Questions",
https://arxiv.org/abs/2212.04092. The model writes the simple questions one at a time and sees what
the earlier ones found; it does not answer them separately. The setting `hops` is their maximum.
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
from memagent.types import Usage

__all__ = ["follow_up", "may_follow_up", "merge"]

# Tokens the model may write, the longest question in characters, and the tokens of events shown.
_NEXT_QUESTION = 96
_LONGEST = 300
_IN_VIEW = 1000
_MARKS = ("?", "？", "؟")


def may_follow_up(state: TurnState, turn: Turn) -> bool:
    """Whether the model may write one more question."""
    allowed = turn.settings.hops if turn.engine.capabilities.generates else 0
    return not state["enough"] and len(state["questions"]) < allowed


def follow_up(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    """Have the engine write one more question, and recall events for it.

    If it does not write a new, short question, the search is over.
    """
    turn = runtime.context
    found, asked = state["found"], state["questions"]
    budget = found[0].budget
    prompt = render("next_question.md.j2", question=state["question"], asked=asked)
    hits = merge(found, min(budget, _IN_VIEW)).chosen
    written = turn.side_call(prompt, hits, state["since"], max_tokens=_NEXT_QUESTION)
    usage = state["usage"] + (written.usage or Usage())
    following = _question(written.text)
    before = [state["question"], *asked]
    # Weak models repeat parts of the instructions, most often the example.
    if following is None or following in prompt or _words(following) in map(_words, before):
        return {"enough": True, "usage": usage}
    return {
        "found": (*found, turn.find(following, budget, state["since"])),
        "questions": (*asked, following),
        "usage": usage,
    }


def merge(found: Sequence[Recalled], budget: int) -> Recalled:
    """Merge several recalls under one budget, by taking the next best event of each in turn."""
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


def _question(text: str) -> str | None:
    """The first line that ends in a question mark, without list marker and quotes; None if there is
    none or it is too long."""
    lines = (line.strip(" \t-*\"'“”„") for line in text.splitlines())
    first = next((line for line in lines if line.endswith(_MARKS)), None)
    return first if first is not None and len(first) <= _LONGEST else None


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
