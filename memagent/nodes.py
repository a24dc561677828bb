"""The steps of a turn, each a function from the graph's state to an update of it.

The state holds ids and the current turn only; the transcript lives in the store.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict

from langgraph.runtime import Runtime

from memagent.citations import attended, check
from memagent.core import Message, Request, Scope, State, ToolCall, Usage
from memagent.engines.base import Engine
from memagent.errors import EngineError
from memagent.memory.events import Filter
from memagent.memory.items import Event, Source, Span
from memagent.memory.memory import Memory
from memagent.memory.recall.budget import Hit, Recalled
from memagent.memory.working import Working
from memagent.packing import pack
from memagent.settings import Settings
from memagent.loops.successive import gather
from memagent.tools import TOOLS, ToolBox

__all__ = ["MAX_ROUNDS", "Turn", "TurnState", "answer", "cite", "recall", "remember", "use_tools"]

# Rounds of tool calls before the model must answer with what it has.
MAX_ROUNDS = 4

# Tokens for a question to look up, or for the word that nothing is missing.
_NEXT_QUESTION = 96


@dataclass(frozen=True)
class Turn:
    """What the steps work with: fixed for one turn, never part of the state."""

    memory: Memory
    engine: Engine
    settings: Settings
    session: Source
    history: tuple[Span, ...]
    which: Filter
    asked: bool
    on_text: Callable[[str], None]
    confirm: Callable[[str], bool]

    def find(self, question: str, budget: int, since: int) -> Recalled:
        """Recall for this turn; text from offset `since` of the session on is in the prompt."""

        def in_prompt(event: Event) -> bool:
            return event.source_id == self.session.id and event.start >= since

        # The tokens of events are estimated: asking a server to count each would cost a request
        # each, and the packed prompt as a whole is counted exactly before it is sent.
        return self.memory.recall(
            question,
            budget=min(budget, self.engine.context // 2),
            contiguity=self.settings.contiguity,
            which=self.which,
            skip=in_prompt,
        )

    def write(self, text: str, hits: tuple[Hit, ...], since: int) -> tuple[str, Usage]:
        """A few words that the engine writes for the agent itself, with these events in view."""
        attends = self.engine.capabilities.attention
        packed = pack(
            self.engine,
            text,
            () if attends else hits,
            self.history,
            max_tokens=0 if attends else _NEXT_QUESTION,
        )
        request = Request(
            messages=packed.messages,
            question=text,
            evidence=tuple(hit.event for hit in (hits if attends else packed.hits)),
            max_tokens=_NEXT_QUESTION,
            temperature=self.settings.temperature,
            scope=self.scope(since),
        )
        parts: list[str] = []
        used = Usage()
        with closing(self.engine.stream(request)) as chunks:  # type: ignore[type-var]
            for chunk in chunks:
                parts.append(chunk.text)
                used = chunk.usage or used
        return "".join(parts), used

    def scope(self, since: int) -> Scope:
        """The memory of this turn, for engines that attend to it themselves."""
        return Scope(self.memory, self.which, self.session.id, since)


class TurnState(TypedDict, total=False):
    """The state of the graph."""

    answer_id: int
    question: str
    since: int
    recalled: Recalled
    questions: tuple[str, ...]
    hits: tuple[Hit, ...]
    messages: tuple[Message, ...]
    calls: tuple[ToolCall, ...]
    rounds: int
    text: str
    state: State
    found: bool
    confidence: float | None
    usage: Usage
    tokens: int
    attention: tuple[tuple[Event, float], ...]
    error: EngineError | None


def recall(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    """Find events, by further questions too where the settings say so, and pack the prompt."""
    turn = runtime.context
    budget, since = turn.settings.budget, state["since"]
    gathered = gather(
        state["question"],
        lambda question: turn.find(question, budget, since),
        lambda text, hits: turn.write(text, hits, since),
        turn.settings.hops if turn.engine.capabilities.generates else 0,
    )
    found = gathered.recalled
    store = turn.memory.store
    # What an engine attends to by itself need not be written into its prompt, and its window moves
    # with the answer.
    attends = turn.engine.capabilities.attention
    packed = pack(
        turn.engine,
        state["question"],
        () if attends else found.chosen,
        turn.history,
        working=Working(store, turn.session.id).lines(),
        plan=Working(store, turn.session.id, "plan").lines(),
        max_tokens=0 if attends else turn.settings.max_tokens,
    )
    return {
        "recalled": found,
        "questions": gathered.questions,
        "hits": found.chosen if attends else packed.hits,
        "messages": packed.messages,
        "tokens": packed.tokens,
        "rounds": 0,
        "text": "",
        "usage": gathered.usage,
    }


def answer(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    """One call of the engine, streamed. Ctrl-C and a lost server keep the part that came."""
    turn = runtime.context
    tools = TOOLS if turn.engine.capabilities.tools and state["rounds"] < MAX_ROUNDS else ()
    request = Request(
        messages=state["messages"],
        question=state["question"],
        evidence=tuple(hit.event for hit in state["hits"]),
        asked=turn.asked,
        tools=tools,
        max_tokens=turn.settings.max_tokens,
        temperature=turn.settings.temperature,
        scope=turn.scope(state["since"]),
    )
    parts: list[str] = []
    update: TurnState = {"calls": (), "state": "complete", "found": True, "error": None}
    update.update({"attention": (), "confidence": None})
    try:
        with closing(turn.engine.stream(request)) as chunks:  # type: ignore[type-var]
            for chunk in chunks:
                if chunk.text:
                    parts.append(chunk.text)
                    turn.on_text(chunk.text)
                if chunk.tool_calls and tools:
                    update["calls"] = chunk.tool_calls
                if chunk.usage:
                    used = state["usage"]
                    update["usage"] = Usage(
                        used.prompt + chunk.usage.prompt, used.completion + chunk.usage.completion
                    )
                if chunk.attention:
                    update["attention"] = chunk.attention
                if chunk.found is not None:
                    update["found"] = chunk.found
                if chunk.confidence is not None:
                    update["confidence"] = chunk.confidence
    except KeyboardInterrupt:
        update.update({"state": "partial", "calls": ()})
    except EngineError as error:
        update.update({"state": "partial", "calls": (), "error": error})
    update["text"] = state["text"] + "".join(parts)
    return update


def use_tools(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    """Run the tools that the model called and append their results to the prompt."""
    turn = runtime.context
    budget = turn.settings.budget // 2

    def search(query: str) -> tuple[Hit, ...]:
        return turn.find(query, budget, state["since"]).chosen

    box = ToolBox(turn.memory, turn.session, search, turn.confirm)
    hits = state["hits"]
    messages = [*state["messages"], Message("assistant", "", tool_calls=state["calls"])]
    for call in state["calls"]:
        result, hits = box.run(call, hits)
        messages.append(Message("tool", result, tool_call_id=call.id))
    return {"hits": hits, "messages": tuple(messages), "rounds": state["rounds"] + 1, "calls": ()}


def after_answer(state: TurnState) -> Literal["use_tools", "cite"]:
    """Tools first, if the model called any."""
    return "use_tools" if state["calls"] else "cite"


def cite(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    """Check the citations against the stored text and store the answer with them."""
    turn = runtime.context
    text = state["text"]
    if not text and state["state"] == "partial":
        return {}
    rows = check(text, [hit.event for hit in state["hits"]], state["question"])
    quotes = any(row.verified for row in rows)
    rows += attended(state["attention"], [hit.event for hit in state["hits"]], rows)
    turn.memory.answers.finish(
        state["answer_id"],
        text,
        state["state"],
        found=state["found"],
        confidence=state["confidence"],
        citations=rows,
        usage={"prompt": state["usage"].prompt, "completion": state["usage"].completion},
        explain=_explain(state, turn),
        # What quotes memory is not segmented again: its source already is. Nor is what was asked
        # by itself: such questions and their answers are never recalled.
        segment=turn.engine.capabilities.generates and not quotes and not turn.asked,
    )
    return {}


def _explain(state: TurnState, turn: Turn) -> dict[str, Any]:
    recalled, hits = state["recalled"], state["hits"]
    kept = {hit.event.id for hit in hits}
    # Packing may have left events out, and a tool may have brought more.
    in_prompt = replace(
        recalled,
        chosen=hits,
        spent=sum(hit.tokens for hit in hits),
        left_out=tuple(
            hit for hit in (*recalled.chosen, *recalled.left_out) if hit.event.id not in kept
        ),
    )
    return {
        **in_prompt.report(),
        "questions": list(state["questions"]),
        "engine": turn.engine.name,
        "model": turn.engine.model,
        "prompt_tokens": state["tokens"],
        "history_turns": len(turn.history),
        "tool_rounds": state["rounds"],
        "attention": [
            {
                "source": event.source,
                "source_id": event.source_id,
                "start": event.start,
                "end": event.end,
                "place": event.place,
                "share": round(share, 4),
            }
            for event, share in state["attention"]
        ],
    }


def remember(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    """Cut the turn into events; embedding them may follow later."""
    memory = runtime.context.memory
    while memory.events.segment_pending(memory.segmenter):
        pass
    return {}
