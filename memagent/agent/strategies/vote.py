"""Answer chunks of recalled events independently and keep the most confident answer.

Ben-Kish et al., "Overflow Prevention Enhances Long-Context Recurrent LLMs" (OPRM),
https://arxiv.org/abs/2505.07793: a context is cut into chunks, each is read alone with the
question, and the answer is decoded from the chunk with the lowest entropy of the first token;
chunks whose answer is a refusal are dropped. Here the context is `votes` times the budget of
recalled events. Each chunk is read with the prompt of the final answer, so a server's prefix cache
can reuse the winner's. This takes one call per chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from langgraph.runtime import Runtime

from memagent.agent.refusal import is_refusal
from memagent.agent.thinking import side_thinking
from memagent.agent.turn import Turn, TurnState
from memagent.memory.recall.selection import Hit
from memagent.types import Chunk, Request, Usage

__all__ = ["chunks", "vote", "votes"]

# Tokens: enough to recognize a refusal.
_FIRST_WORDS = 8


def votes(turn: Turn) -> int:
    """The number of chunks; 0 if the settings or the engine do not allow a vote."""
    wanted = turn.settings.votes
    return wanted if wanted > 1 and turn.engine.capabilities.uncertainty else 0


def vote(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    """Keep only the recalled events of the chunk with the most confident answer."""
    turn = runtime.context
    recalled = state["recalled"]
    groups = chunks(recalled.chosen, turn.budget)
    if len(groups) < 2:
        return {}
    beginnings = _first_words(turn, state, groups)
    used = state["usage"]
    for each in beginnings:
        used += each.usage or Usage()
    uncertain = [
        float("inf") if each.uncertainty is None else each.uncertainty for each in beginnings
    ]
    # A model that thinks in spite of the request has said nothing yet.
    answers = [bool(each.text.strip()) and not is_refusal(each.text) for each in beginnings]
    # If every chunk refuses, take the one with the best match.
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


def _first_words(turn: Turn, state: TurnState, groups: Sequence[Sequence[Hit]]) -> list[Chunk]:
    """The first tokens of the answer from each chunk."""
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
            thinking=side_thinking(turn.settings),
        )
        for packed in prompts
    ]
    # The threads only wait for the engine: they may outlive the turn, and its store, on Ctrl-C.
    pool = ThreadPoolExecutor(len(groups))
    try:
        return list(pool.map(turn.engine.complete, requests))
    finally:
        # Do not wait for the remaining calls on Ctrl-C.
        pool.shutdown(wait=False, cancel_futures=True)
