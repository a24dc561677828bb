"""Successive Prompting: the evidence for one question is looked up by several simple ones.

Dua et al., "Successive Prompting for Decomposing Complex Questions",
https://arxiv.org/abs/2212.04092. The simple questions are written one at a time, each with what
the ones before it found in view; they are not answered by themselves. Knows nothing of engines and
of how events are found.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from memagent.core import Usage
from memagent.memory.recall.budget import Hit, Recalled, choose
from memagent.memory.segment import estimate_tokens
from memagent.prompts.load import render

__all__ = ["Gathered", "gather"]

# Longest simple question, in characters, and tokens of events in view when it is written.
_LONGEST = 300
_IN_VIEW = 1000
_MARKS = ("?", "？", "؟")


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was recalled under the budget of one question, the further questions that were looked
    up for it, and what writing them took."""

    recalled: Recalled
    questions: tuple[str, ...]
    usage: Usage


def gather(
    question: str,
    find: Callable[[str], Recalled],
    write: Callable[[str, tuple[Hit, ...]], tuple[str, Usage]],
    hops: int,
) -> Gathered:
    """Recall for `question`, then for up to `hops` questions that `write` makes of what was found.

    `write` gets an instruction and the best events so far. What it returns ends the rounds where it
    is no new, short question.
    """
    found = [find(question)]
    budget = found[0].budget
    asked = [question]
    used = Usage()
    for _ in range(hops):
        prompt = render("next_question.md.j2", question=question, asked=asked[1:])
        said, usage = write(prompt, _shared(found, min(budget, _IN_VIEW)).chosen)
        used = Usage(used.prompt + usage.prompt, used.completion + usage.completion)
        following = _question(said)
        # Weak models say parts of the instruction again, its example above all.
        if following is None or following in prompt or _words(following) in map(_words, asked):
            break
        asked.append(following)
        found.append(find(following))
    recalled = _shared(found, budget) if len(found) > 1 else found[0]
    return Gathered(recalled, tuple(asked[1:]), used)


def _shared(found: Sequence[Recalled], budget: int) -> Recalled:
    """One recall of several under one budget, which each spends on its next best event in turn."""
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
