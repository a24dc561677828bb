"""The context of a turn, and the state that its steps pass on.

The state holds only ids and the current turn; the transcript is in the store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict

from memagent.agent.event_reader import NamespaceEvents
from memagent.agent.model_fit import neighbour_share, recall_budget, refuses
from memagent.agent.packing import Packed, pack
from memagent.agent.thinking import side_thinking
from memagent.agent.transcript import Lines, Log
from memagent.engines.base import Engine
from memagent.errors import EngineError
from memagent.memory.events import Filter
from memagent.memory.namespace import Namespace
from memagent.memory.recall.selection import Hit, Recalled
from memagent.memory.segmentation.sentences import estimate_tokens
from memagent.memory.store.working import Working, within
from memagent.prompts.load import render
from memagent.settings import Settings
from memagent.types import (
    Chunk,
    Ending,
    Event,
    Message,
    Request,
    Scope,
    Source,
    ToolCall,
    Usage,
)

__all__ = ["Turn", "TurnState"]


@dataclass(frozen=True)
class Turn:
    """The context of the steps: fixed for one turn, and not part of the state."""

    memory: Namespace
    engine: Engine
    settings: Settings
    session: Source
    log: Log
    where: Filter
    asked: bool
    on_text: Callable[[str], None]
    on_thinking: Callable[[str], None]
    confirm: Callable[[str], bool]

    @property
    def budget(self) -> int:
        """Most tokens of recalled text in one prompt."""
        return recall_budget(self.settings, self.engine)

    def find(self, question: str, budget: int, since: int) -> Recalled:
        """Recall for this turn, without text of the session from `since` on: the prompt has it."""

        def in_prompt(event: Event) -> bool:
            return event.source_id == self.session.id and event.start >= since

        # Event sizes are estimates: exact ones would take a request to the server per event. The
        # packed prompt is counted exactly.
        return self.memory.retriever.recall(
            question,
            self.where,
            budget=budget,
            contiguity=neighbour_share(self.settings, budget),
            count=estimate_tokens,
            skip=in_prompt,
        )

    def pack(self, question: str, hits: tuple[Hit, ...]) -> Packed:
        """Build the prompt of an answer: the log, and what this turn adds.

        The best passage comes last, next to the question: small models use what is near it. The
        points of an outline keep their order.
        """
        outlined = any(hit.note for hit in hits)
        if self.engine.capabilities.generates and not outlined:
            hits = tuple(sorted(hits, key=lambda hit: hit.score))
        text = question
        if self.asked:
            text = render("question.md.j2", question=question, refuse=refuses(self.engine))
        return self._packed(
            text, hits, self.settings.max_tokens, self._lines("memory"), self._lines("plan")
        )

    def pack_side_prompt(self, text: str) -> Packed:
        """Build a prompt of the log and `text`, without a memory block."""
        return self._packed(
            text, None, self.settings.max_tokens, self._lines("memory"), self._lines("plan")
        )

    def side_call(
        self,
        text: str,
        hits: tuple[Hit, ...] | None,
        since: int,
        *,
        max_tokens: int,
        schema: dict[str, Any] | None = None,
        seed: int | None = None,
    ) -> Chunk:
        """Have the engine write for the agent itself, given these events."""
        packed = self._packed(text, hits, max_tokens)
        attends = self.engine.capabilities.attention
        evidence = (hits or ()) if attends else packed.hits
        return self.engine.complete(
            Request(
                messages=packed.messages,
                question=text,
                evidence=tuple(hit.event for hit in evidence),
                max_tokens=max_tokens,
                temperature=self.settings.temperature,
                seed=seed,
                scope=self.scope(since),
                schema=schema,
                thinking=side_thinking(self.settings),
            )
        )

    def scope(self, since: int) -> Scope | None:
        """The memory of this turn for an engine that attends to it directly, None for others."""
        if not self.engine.capabilities.attention:
            return None
        allowed = frozenset(self.memory.events.allowed(self.where)) if self.where else None
        return Scope(NamespaceEvents(self.memory), self.session.id, since, allowed)

    def _lines(self, kind: Literal["memory", "plan"]) -> Lines:
        """The lines of working memory or plan for the prompt, as of the time of the turn."""
        found = Working(self.memory.store, self.session.id, kind).newest(at=self.where.as_of)
        if found is None:
            return Lines()
        kept = found.lines[len(found.lines) - within(found.lines) :]
        return Lines(tuple(line.text for line in kept), found.number)

    def _packed(
        self,
        question: str,
        hits: tuple[Hit, ...] | None,
        max_tokens: int,
        working: Lines | None = None,
        plan: Lines | None = None,
    ) -> Packed:
        # An engine with attention to memory needs no events in the prompt, and its window moves
        # with the answer.
        if self.engine.capabilities.attention:
            hits, max_tokens = (None if hits is None else ()), 0
        packed = pack(
            self.engine, question, hits, self.log, working=working, plan=plan, max_tokens=max_tokens
        )
        return replace(packed, messages=_joined(packed.messages))


def _joined(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages, with the parts of an answer that was continued as one message."""
    joined: list[Message] = []
    for message in messages:
        if joined and message.role == joined[-1].role == "assistant":
            joined[-1] = replace(joined[-1], content=joined[-1].content + message.content)
        else:
            joined.append(message)
    return tuple(joined)


class TurnState(TypedDict, total=False):
    """The state of the graph. `trace` has an entry for each optional step taken; `continues` is
    true if the answer exists and goes on."""

    answer_id: int
    continues: bool
    question: str
    ordinal: int
    since: int
    found: tuple[Recalled, ...]
    questions: tuple[str, ...]
    enough: bool
    recalled: Recalled
    trace: tuple[dict[str, Any], ...]
    outlined: bool
    packed: Packed
    hits: tuple[Hit, ...]
    looked_up: tuple[Hit, ...]
    messages: tuple[Message, ...]
    calls: tuple[ToolCall, ...]
    rounds: int
    text: str
    thinking: str
    ended: Ending
    answered: bool
    confidence: float | None
    usage: Usage
    attention: tuple[tuple[Event, float], ...]
    error: EngineError | None
