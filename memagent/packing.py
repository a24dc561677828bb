"""Packing the prompt to the engine's own token count.

The order keeps the prefix stable, so that a server's prefix cache serves it: instructions, the
conversation so far, then working memory, recalled events as data, and the turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memagent.core import Message
from memagent.engines.base import Engine
from memagent.errors import EngineError
from memagent.memory.items import Event, Span
from memagent.memory.recall.budget import Hit
from memagent.prompts.load import render

__all__ = ["Packed", "pack"]


@dataclass(frozen=True, slots=True)
class Packed:
    """A prompt that fits, the events in it, and what each part takes, in tokens."""

    messages: tuple[Message, ...]
    hits: tuple[Hit, ...]
    history: tuple[Span, ...]
    tokens: int

    @property
    def events(self) -> tuple[Event, ...]:
        """The events in the prompt; the first is cited as [1]."""
        return tuple(hit.event for hit in self.hits)


def pack(
    engine: Engine,
    question: str,
    hits: Sequence[Hit],
    history: Sequence[Span] = (),
    *,
    working: Sequence[str] = (),
    plan: Sequence[str] = (),
    max_tokens: int,
) -> Packed:
    """The prompt for one turn, within the engine's window less `max_tokens` for the answer.

    What does not fit is left out in this order: the oldest turns of the conversation, then the
    events that matched least. Raises EngineError when not even the bare turn fits.
    """
    room = engine.context - max_tokens
    system = Message("system", render("system.md"))

    def build(turns: Sequence[Span], kept: Sequence[Hit]) -> Packed:
        memory = render(
            "memory.md.j2", working=working, plan=plan, events=[hit.event for hit in kept]
        )
        turn = Message("user", render("turn.md.j2", memory=memory, question=question))
        said = (Message("assistant" if s.role == "assistant" else "user", s.text) for s in turns)
        messages = (system, *said, turn)
        return Packed(messages, tuple(kept), tuple(turns), engine.count_prompt(messages))

    def trimmed(items: list[Hit]) -> list[Hit]:
        worst = min(items, key=lambda hit: hit.score)
        return [hit for hit in items if hit is not worst]

    turns, kept = list(history), list(hits)
    packed = build(turns, kept)
    while packed.tokens > room and turns:
        turns = turns[_enough(packed.tokens - room, [engine.count(s.text) for s in turns]) :]
        packed = build(turns, kept)
    while packed.tokens > room and kept:
        over, freed = packed.tokens - room, 0
        while kept and freed < over:
            before = kept
            kept = trimmed(kept)
            freed += sum(h.tokens for h in before) - sum(h.tokens for h in kept)
        packed = build(turns, kept)
    if packed.tokens > room:
        raise EngineError(
            f"the turn takes {packed.tokens} tokens and {engine.model} has room for {room} "
            f"({engine.context} less {max_tokens} for the answer): shorten it, lower --max-tokens, "
            "or serve the model with a larger context"
        )
    return packed


def _enough(over: int, sizes: Sequence[int]) -> int:
    """How many of the first items to drop to free `over` tokens; at least one."""
    freed = 0
    for position, size in enumerate(sizes, start=1):
        freed += size
        if freed >= over:
            return position
    return len(sizes)
