"""What the steps of a turn work with, and the state that they hand on.

The state holds ids and the current turn only; the transcript lives in the store.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from memagent.core import Chunk, Message, Request, Scope, State, ToolCall, Usage
from memagent.engines.base import Engine
from memagent.errors import EngineError
from memagent.memory.events import Filter
from memagent.memory.items import Event, Source
from memagent.memory.memory import Memory
from memagent.memory.recall.budget import Hit, Recalled
from memagent.memory.working import Working, within
from memagent.packing import Packed, pack
from memagent.prompt_log import Lines, Log
from memagent.settings import Settings

__all__ = ["Turn", "TurnState", "added"]


@dataclass(frozen=True)
class Turn:
    """What the steps work with: fixed for one turn, never part of the state."""

    memory: Memory
    engine: Engine
    settings: Settings
    session: Source
    log: Log
    which: Filter
    asked: bool
    on_text: Callable[[str], None]
    confirm: Callable[[str], bool]

    @property
    def budget(self) -> int:
        """Tokens of recalled text in one prompt."""
        return min(self.settings.budget, self.engine.context // 2)

    def find(self, question: str, budget: int, since: int) -> Recalled:
        """Recall for this turn; text from offset `since` of the session on is in the prompt."""

        def in_prompt(event: Event) -> bool:
            return event.source_id == self.session.id and event.start >= since

        # The tokens of events are estimated: asking a server to count each would cost a request
        # each, and the packed prompt as a whole is counted exactly before it is sent.
        return self.memory.recall(
            question,
            budget=budget,
            contiguity=self.settings.contiguity,
            which=self.which,
            skip=in_prompt,
        )

    def pack(
        self,
        question: str,
        hits: tuple[Hit, ...] | None,
        *,
        max_tokens: int | None = None,
        working: Lines | None = None,
        plan: Lines | None = None,
    ) -> Packed:
        """The prompt for these words, with room for `max_tokens`, by default those of the settings.

        What an engine attends to by itself is not written into its prompt, and its window moves
        with the answer.
        """
        room = self.settings.max_tokens if max_tokens is None else max_tokens
        if self.engine.capabilities.attention:
            hits, room = (None if hits is None else ()), 0
        return pack(
            self.engine, question, hits, self.log, working=working, plan=plan, max_tokens=room
        )

    def aside(
        self,
        text: str,
        hits: tuple[Hit, ...] | None,
        since: int,
        *,
        max_tokens: int,
        schema: dict[str, Any] | None = None,
        seed: int | None = None,
    ) -> Chunk:
        """What the engine writes for the agent itself, with these events in view."""
        packed = self.pack(text, hits, max_tokens=max_tokens)
        attends = self.engine.capabilities.attention
        evidence = (hits or ()) if attends else packed.hits
        return self.whole(
            Request(
                messages=packed.messages,
                question=text,
                evidence=tuple(hit.event for hit in evidence),
                max_tokens=max_tokens,
                temperature=self.settings.temperature,
                seed=seed,
                scope=self.scope(since),
                schema=schema,
            )
        )

    def whole(self, request: Request) -> Chunk:
        """The whole answer to a request, as one chunk."""
        text, used, uncertainty = "", Usage(), None
        with closing(self.engine.stream(request)) as chunks:  # type: ignore[type-var]
            for chunk in chunks:
                text += chunk.text
                used = chunk.usage or used
                if uncertainty is None:
                    uncertainty = chunk.uncertainty
        return Chunk(text, usage=used, uncertainty=uncertainty)

    def lines(self, kind: Literal["memory", "plan"]) -> Lines:
        """What goes into a prompt of working memory or plan, as of the turn's moment."""
        found = Working(self.memory.store, self.session.id, kind).newest(at=self.which.as_of)
        if found is None:
            return Lines()
        kept = found.lines[len(found.lines) - within(found.lines) :]
        return Lines(tuple(line.text for line in kept), found.number)

    def scope(self, since: int) -> Scope:
        """The memory of this turn, for engines that attend to it themselves."""
        return Scope(self.memory, self.which, self.session.id, since)


def added(used: Usage, more: Usage | None) -> Usage:
    """The tokens of two calls."""
    if more is None:
        return used
    return Usage(used.prompt + more.prompt, used.completion + more.completion)


class TurnState(TypedDict, total=False):
    """The state of the graph. `trace` has an entry for every step that a loop took."""

    answer_id: int
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
    state: State
    answered: bool
    confidence: float | None
    usage: Usage
    tokens: int
    attention: tuple[tuple[Event, float], ...]
    error: EngineError | None
