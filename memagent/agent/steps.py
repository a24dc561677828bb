"""The steps of a turn, each a function from the graph's state to an update of it.

The optional steps, which take more calls of the engine, are in the folder `strategies`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from typing import Literal

from langgraph.runtime import Runtime

from memagent.agent.endings import ending_of
from memagent.agent.grounding import ground
from memagent.agent.model_fit import offers_tools
from memagent.agent.refusal import is_refusal
from memagent.agent.reports import turn_report
from memagent.agent.strategies.follow_up import may_follow_up, merge
from memagent.agent.strategies.outline import wants_outline
from memagent.agent.strategies.repetition import runs_in_a_circle
from memagent.agent.strategies.vote import votes
from memagent.agent.thinking import answer_thinking
from memagent.agent.tools import TOOLS, ToolBox
from memagent.agent.turn import Turn, TurnState
from memagent.engines.base import Finish
from memagent.errors import EngineError
from memagent.memory.recall.selection import Hit
from memagent.memory.store.answers import AnswerRecord, OutlineRow
from memagent.memory.store.locators import place_of
from memagent.memory.store.prompt_states import PromptEvent, PromptState
from memagent.types import Ending, Message, Request, Usage

__all__ = [
    "MAX_ROUNDS",
    "after_answer",
    "after_gathering",
    "after_recall",
    "after_vote",
    "answer",
    "begin",
    "cite",
    "gather",
    "pack",
    "recall",
    "remember",
    "use_tools",
]

logger = logging.getLogger(__name__)

# Rounds of tool calls before the model must answer with what it has.
MAX_ROUNDS = 4

_SENTENCE_ENDS = ".!?\n。！？"


def begin(state: TurnState) -> Literal["recall", "resume"]:
    """Begin a new answer, or go on with one that was cut."""
    return "resume" if state["continues"] else "recall"


def recall(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    """Find events for the turn's words; each chunk of a vote has its own budget."""
    turn = runtime.context
    budget = turn.budget * max(votes(turn), 1)
    return {
        "found": (turn.find(state["question"], budget, state["since"]),),
        "questions": (),
        "enough": False,
        "trace": (),
        "outlined": False,
        "usage": Usage(),
    }


def after_recall(state: TurnState, runtime: Runtime[Turn]) -> Literal["follow_up", "gather"]:
    """Look up follow-up questions first, if the settings allow more."""
    return "follow_up" if may_follow_up(state, runtime.context) else "gather"


def gather(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    """Merge everything that was found into one recall under one budget."""
    found = state["found"]
    trace = tuple({"step": "follow_up", "question": asked} for asked in state["questions"])
    return {"recalled": merge(found, found[0].budget), "trace": (*state["trace"], *trace)}


def after_gathering(state: TurnState, runtime: Runtime[Turn]) -> Literal["vote", "outline", "pack"]:
    """Go on with a vote, an outline or the prompt."""
    return "vote" if votes(runtime.context) else after_vote(state, runtime)


def after_vote(state: TurnState, runtime: Runtime[Turn]) -> Literal["outline", "pack"]:
    """Go on with an outline, if the settings ask for one, or the prompt."""
    return "outline" if wants_outline(runtime.context) else "pack"


def pack(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    """Build the prompt of the answer."""
    turn = runtime.context
    hits = state["recalled"].chosen
    packed = turn.pack(state["question"], hits)
    return {
        "packed": packed,
        "hits": hits if turn.engine.capabilities.attention else packed.hits,
        "looked_up": (),
        "messages": packed.messages,
        "rounds": 0,
        "text": "",
        "thinking": "",
    }


def answer(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    """Call the engine and stream the answer. On Ctrl-C or a lost server, keep what has arrived."""
    turn = runtime.context
    request = _request(state, turn)
    parts: list[str] = []
    thoughts: list[str] = []
    finish: Finish | None = None
    ended: Ending | None = None
    update: TurnState = {"calls": (), "answered": True, "error": None}
    update.update({"attention": (), "confidence": None})
    try:
        with closing(turn.engine.stream(request)) as chunks:  # type: ignore[type-var]
            for chunk in chunks:
                if chunk.thinking:
                    thoughts.append(chunk.thinking)
                    turn.on_thinking(chunk.thinking)
                if chunk.text:
                    parts.append(chunk.text)
                    turn.on_text(chunk.text)
                finish = chunk.finish or finish
                if chunk.tool_calls and request.tools:
                    update["calls"] = chunk.tool_calls
                if chunk.usage:
                    update["usage"] = state["usage"] + chunk.usage
                if _circles(turn, chunk.text, parts):
                    logger.warning("the answer was stopped: it repeated itself")
                    update["trace"] = (*state["trace"], {"step": "repetition"})
                    written = turn.engine.count("".join(parts))
                    update["usage"] = state["usage"] + Usage(state["packed"].tokens, written)
                    ended = "repetition"
                    break
                if chunk.attention:
                    update["attention"] = chunk.attention
                if chunk.found is not None:
                    update["answered"] = chunk.found
                if chunk.confidence is not None:
                    update["confidence"] = chunk.confidence
    except KeyboardInterrupt:
        ended = "interrupted"
        update["calls"] = ()
    except EngineError as error:
        ended = "lost"
        update.update({"calls": (), "error": error})
    text, thinking = "".join(parts), "".join(thoughts)
    update["text"] = state["text"] + text
    update["thinking"] = "\n\n".join(filter(None, (state["thinking"], thinking)))
    update["ended"] = ended or ending_of(text, thinking, finish)
    if is_refusal(update["text"]):
        update["answered"] = False
    return update


def _request(state: TurnState, turn: Turn) -> Request:
    """The request for an answer, with tools if the model may call them now."""
    # The vote used the prompt without tools; keep it the same, for the server's prefix cache.
    may_call = (
        offers_tools(turn.engine)
        and not state["continues"]
        and state["rounds"] < MAX_ROUNDS
        and not votes(turn)
    )
    return Request(
        messages=state["messages"],
        question=state["question"],
        evidence=tuple(hit.event for hit in state["hits"]),
        asked=turn.asked,
        tools=TOOLS if may_call else (),
        max_tokens=turn.settings.max_tokens,
        temperature=turn.settings.temperature,
        scope=turn.scope(state["since"]),
        thinking=answer_thinking(turn.settings),
    )


def _circles(turn: Turn, piece: str, parts: list[str]) -> bool:
    """Whether a generated answer is in a loop; checked at the end of each sentence."""
    ends = any(mark in piece for mark in _SENTENCE_ENDS)
    return ends and turn.engine.capabilities.generates and runs_in_a_circle("".join(parts))


def use_tools(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    """Run the tools that the model called and append their results to the prompt."""
    turn = runtime.context
    budget = turn.budget // 2

    def search(query: str) -> tuple[Hit, ...]:
        return turn.find(query, budget, state["since"]).chosen

    box = ToolBox(turn.memory, turn.session, search, turn.confirm)
    before = hits = state["hits"]
    messages = [*state["messages"], Message("assistant", "", tool_calls=state["calls"])]
    for call in state["calls"]:
        result, hits = box.run(call, hits)
        messages.append(Message("tool", result, tool_call_id=call.id))
    return {
        "hits": hits,
        "looked_up": (*state["looked_up"], *hits[len(before) :]),
        "messages": tuple(messages),
        "rounds": state["rounds"] + 1,
        "calls": (),
    }


def after_answer(state: TurnState) -> Literal["use_tools", "cite", "extend"]:
    """Run the tools first, if the model called any."""
    if state["continues"]:
        return "extend"
    return "use_tools" if state["calls"] else "cite"


def cite(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    """Check the citations against the stored text and store the answer with them."""
    turn = runtime.context
    text, ended = state["text"], state["ended"]
    if not text.strip() and ended in ("interrupted", "lost"):
        turn.memory.answers.note_end(state["answer_id"], ended)
        return {}
    grounds = ground(state, turn)
    used = state["usage"] + grounds.usage
    reported: TurnState = {**state, "trace": (*state["trace"], *grounds.trace)}
    chosen = _chosen(state, turn)
    prompt = _prompt_state(state)
    record = AnswerRecord(
        text,
        ended,
        found=grounds.found,
        confidence=state["confidence"],
        citations=grounds.rows,
        outline=_outline(state, chosen),
        prompt=prompt,
        usage={"prompt": used.prompt, "completion": used.completion},
        explain=turn_report(reported, turn, chosen, prompt),
        # An answer that quotes memory is not segmented: its source already is. Single questions
        # and their answers are never recalled.
        segment=turn.engine.capabilities.generates and not grounds.quotes and not turn.asked,
    )
    turn.memory.answers.finish(state["answer_id"], record)
    return {}


def _chosen(state: TurnState, turn: Turn) -> list[tuple[int, Hit]]:
    """The events that the answer can be based on, with their numbers."""
    packed = state["packed"]
    if turn.engine.capabilities.attention:
        return list(enumerate(state["hits"], start=1))
    # Packing may have left events out, and a tool may have added some.
    more = enumerate(state["looked_up"], start=len(packed.hits) + 1)
    return [*packed.recalled, *more]


def _outline(state: TurnState, chosen: Sequence[tuple[int, Hit]]) -> list[OutlineRow]:
    if not state["outlined"]:
        return []
    return [OutlineRow(hit.note, number, place_of(hit.event)) for number, hit in chosen]


def _prompt_state(state: TurnState) -> PromptState:
    """What the next turn needs to start its prompt with the same prefix."""
    packed = state["packed"]
    exchanges = packed.log.exchanges
    return PromptState(
        begun=exchanges[0].turn.ordinal if exchanges else state["ordinal"],
        carried=len(packed.log.carried_over),
        tokens=packed.tokens + state["usage"].completion,
        recalled_again=packed.recalled_again,
        memory=packed.memory,
        plan=packed.plan,
        events=(
            *(PromptEvent("recall", place_of(each.event), each.note) for each in packed.new),
            *(PromptEvent("tool", place_of(hit.event)) for hit in state["looked_up"]),
        ),
    )


def remember(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    """Cut the turn into events; embedding them may follow later."""
    memory = runtime.context.memory
    while memory.events.segment_pending(memory.segmenter):
        pass
    return {}
