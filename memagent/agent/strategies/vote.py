"""A vote of chunks: each answers by itself, and the least uncertain one is heard.

Ben-Kish et al., "Overflow Prevention Enhances Long-Context Recurrent LLMs" (OPRM),
https://arxiv.org/abs/2505.07793: a context is cut into chunks, each is read alone with the
question, and the answer is decoded from the one whose first token has the least entropy; chunks
that say that they hold no answer drop out. Here the context is `votes` times the budget of recalled
events. Each chunk's prompt is the one that would be sent if it won, so a server's prefix cache
answers from what the vote has read. One call a chunk and never more.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from langgraph.runtime import Runtime

from memagent.agent.turn import Turn, TurnState
from memagent.memory.recall.selection import Hit
from memagent.types import Chunk, Request, Usage

__all__ = ["chunks", "says_nothing", "vote", "votes"]

# Enough to see whether an answer begins by saying that there is none.
_FIRST_WORDS = 8
_NOTHING = "not in memory"


def votes(turn: Turn) -> int:
    """How many chunks vote; 0 where the settings or the engine have none."""
    wanted = turn.settings.votes
    return wanted if wanted > 1 and turn.engine.capabilities.uncertainty else 0


def vote(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    """Keep of what was recalled the chunk whose answer begins least uncertain."""
    turn = runtime.context
    recalled = state["recalled"]
    groups = chunks(recalled.chosen, turn.budget)
    if len(groups) < 2:
        return {}
    heard = _hear(turn, state, groups)
    used = state["usage"]
    for each in heard:
        used += each.usage or Usage()
    uncertain = [float("inf") if each.uncertainty is None else each.uncertainty for each in heard]
    answers = [not says_nothing(each.text) for each in heard]
    # Where no chunk holds an answer, what matched the question best is asked once more.
    candidates = [n for n, has in enumerate(answers) if has]
    best = max(range(len(groups)), key=lambda n: max(hit.score for hit in groups[n]))
    winner = min(candidates, key=lambda n: uncertain[n]) if candidates else best
    trace = tuple(
        {
            "step": "vote",
            "chunk": n + 1,
            "events": len(group),
            "uncertainty": None if uncertain[n] == float("inf") else round(uncertain[n], 4),
            "answers": answers[n],
            "chosen": n == winner,
        }
        for n, group in enumerate(groups)
    )
    kept = tuple(groups[winner])
    others = tuple(hit for n, group in enumerate(groups) if n != winner for hit in group)
    return {
        "recalled": replace(
            recalled,
            chosen=kept,
            spent=sum(hit.tokens for hit in kept),
            left_out=(*sorted(others, key=lambda hit: -hit.score), *recalled.left_out),
        ),
        "usage": used,
        "trace": (*state["trace"], *trace),
    }


def chunks(hits: Sequence[Hit], budget: int) -> list[list[Hit]]:
    """The events in their order, in chunks of up to `budget` tokens."""
    groups: list[list[Hit]] = []
    room = 0
    for hit in hits:
        if not groups or hit.tokens > room:
            groups.append([])
            room = budget
        groups[-1].append(hit)
        room -= hit.tokens
    return groups


def says_nothing(text: str) -> bool:
    """Whether an answer begins by saying that memory does not hold it."""
    return text.lstrip(" \n\"'“*").casefold().startswith(_NOTHING)


def _hear(turn: Turn, state: TurnState, groups: Sequence[Sequence[Hit]]) -> list[Chunk]:
    """How the answer of each chunk begins."""
    prompts = [turn.pack(state["question"], tuple(group)) for group in groups]
    requests = [
        Request(
            messages=packed.messages,
            question=state["question"],
            evidence=tuple(hit.event for hit in packed.hits),
            asked=turn.asked,
            max_tokens=_FIRST_WORDS,
            temperature=turn.settings.temperature,
            uncertainty=True,
        )
        for packed in prompts
    ]
    # The threads only wait for the engine: they may outlive the turn, and its store, on Ctrl-C.
    pool = ThreadPoolExecutor(len(groups))
    try:
        return list(pool.map(turn.engine.complete, requests))
    finally:
        # Ctrl-C does not wait for the few words that are still to come.
        pool.shutdown(wait=False, cancel_futures=True)
