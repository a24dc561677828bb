"""Go on with an answer that was cut: `resume` and `extend` replace the first and last steps.

The prompt is that of the turn with the answer so far, and an instruction to continue it, because
not every server continues the last message of a prompt. The new words are stored as a turn of
their own, and later prompts show both as one answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from langgraph.runtime import Runtime

from memagent.agent.citations import attention_citations, check, with_validity
from memagent.agent.turn import Turn, TurnState
from memagent.errors import EngineError
from memagent.memory.recall.selection import Hit
from memagent.memory.store.answers import AnswerRecord, CitationRow
from memagent.prompts.load import render
from memagent.types import Usage

__all__ = ["extend", "join", "resume"]

# No space is added before these, nor after those.
_CLOSING = ".,;:!?%…)]}’”»。，、！？"
_OPENING = "([{“„«‘/-–—"
_LIST_ITEM = re.compile(r"([-*#>|•]|\d{1,3}[.)])\s")
_LAST_WORD = re.compile(r"\w+\Z")
# Scripts from here on, such as Chinese and Japanese, put no space between words.
_UNSPACED = 0x2E80

_USAGE = ("prompt", "completion")


def resume(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    """Build the prompt that continues the answer."""
    turn = runtime.context
    packed = turn.pack_side_prompt(render("continue.md"))
    if not (packed.log.exchanges or packed.log.carried_over):
        raise EngineError(
            f"the answer so far does not fit the window of {turn.engine.model}: lower --max-tokens"
        )
    if turn.engine.capabilities.attention:
        hits = turn.find(state["question"], turn.budget, state["since"]).chosen
    else:
        hits = tuple(Hit(event, 0.0, {}, 0) for event in turn.log.events)
    return {
        "packed": packed,
        "hits": hits,
        "messages": packed.messages,
        "text": "",
        "thinking": "",
        "usage": Usage(),
        "trace": (),
    }


def extend(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    """Append the new words to the stored answer, and check the citations of the whole."""
    turn, answers, answer_id = runtime.context, runtime.context.memory.answers, state["answer_id"]
    before = answers.get(answer_id)
    added = join(before["text"], state["text"])
    # A model that adds nothing considers its answer complete.
    ended = "stop" if state["ended"] == "empty" else state["ended"]
    events = [hit.event for hit in state["hits"]]
    rows = check(before["text"] + added, events, state["question"])
    quotes = any(row.verified for row in rows)
    rows += _attended(answers.citations(answer_id))
    rows += attention_citations(state["attention"], events, rows)
    prompt = answers.prompt_states([before["question_span"]]).get(before["question_span"])
    used = state["usage"]
    if prompt is not None:
        prompt = replace(prompt, tokens=state["packed"].tokens + used.completion)
    report = before["explain"]
    record = AnswerRecord(
        added,
        ended if added.strip() or ended == "stop" else before["ended"],
        found=bool(before["found"]),
        confidence=before["confidence"],
        citations=with_validity(rows, events),
        outline=answers.outline(answer_id),
        prompt=prompt,
        usage={name: before["usage"].get(name, 0) + getattr(used, name) for name in _USAGE},
        explain={**report, "trace": [*report.get("trace", ()), {"step": "continuation"}]},
        segment=turn.engine.capabilities.generates and not quotes and not turn.asked,
    )
    answers.extend(answer_id, record)
    return {"ended": ended}


def join(before: str, text: str) -> str:
    """The text to append to `before`: what the model wrote, with the white space that is missing
    at the seam and without a last word of `before` that it repeats."""
    if not before or not text.strip():
        return text
    last = _LAST_WORD.search(before)
    if last is not None and text.startswith(last[0]):
        rest = text[len(last[0]) :]
        # A word of two letters may just be the beginning of the next word.
        if len(last[0]) > 2 or not rest[:1].isalnum():
            return rest
    first, end = text[0], before[-1]
    if first.isspace() or end.isspace() or first in _CLOSING or end in _OPENING:
        return text
    if ord(first) >= _UNSPACED and ord(end) >= _UNSPACED:
        return text
    return ("\n" if _LIST_ITEM.match(text) else " ") + text


def _attended(rows: Sequence[dict[str, Any]]) -> list[CitationRow]:
    """The citations of the first part that rest on attention."""
    names = CitationRow.__slots__
    return [
        CitationRow(**{name: row[name] for name in names})
        for row in rows
        if row["share"] is not None
    ]
