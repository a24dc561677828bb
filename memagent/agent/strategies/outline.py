"""Outline: the model first marks the sentences that the answer must be based on.

The model marks ranges of the recalled sentences under headings. Their text is copied from the
store, so the evidence is always verbatim. The two steps are those of "Highlight & Summarize"
(Cherubin and Paverd, https://arxiv.org/abs/2508.02872); the headings follow "Enhancing LLM's
Cognition via Structurization" (Liu et al., https://arxiv.org/abs/2407.16434). This takes up to
three calls; if no output is valid, the answer uses all recalled events.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langgraph.runtime import Runtime

from memagent.agent.structured_retry import Unusable, ask
from memagent.agent.turn import Turn, TurnState
from memagent.memory.recall.selection import OVERHEAD, Hit
from memagent.memory.segmentation.sentences import estimate_tokens, sentences
from memagent.prompts.load import render
from memagent.types import Chunk, Event, Usage

__all__ = ["Mark", "outline", "read_marks", "wants_outline"]

_MOST = 8  # points
_HEADING = 80  # characters
# Enough for the JSON of an outline of that size.
_MAX_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Mark:
    """A heading for the sentences first to last (inclusive, counted from 1)."""

    heading: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class _Sentence:
    """A sentence of a recalled event, with its offsets in the event."""

    hit: Hit
    start: int
    end: int

    @property
    def text(self) -> str:
        return " ".join(self.hit.event.text[self.start : self.end].split())


def wants_outline(turn: Turn) -> bool:
    """Whether the settings ask for an outline and the engine can write one."""
    return turn.settings.outline and turn.engine.capabilities.generates


def outline(state: TurnState, runtime: Runtime[Turn]) -> TurnState:
    """Keep only the recalled sentences that the engine marks."""
    turn, recalled = runtime.context, state["recalled"]
    numbered = [sentence for hit in recalled.chosen for sentence in _sentences(hit)]
    if not numbered:
        return {}
    used = Usage()

    def generate(wrong: str, attempt: int) -> Chunk:
        nonlocal used
        written = turn.side_call(
            _prompt(state["question"], numbered, wrong),
            None,
            state["since"],
            max_tokens=min(_MAX_TOKENS, turn.engine.context // 4),
            schema=_schema(len(numbered)),
            seed=attempt,
        )
        used += written.usage or Usage()
        return written

    def parse(text: str) -> list[Mark]:
        marks, wrong = read_marks(text, len(numbered))
        if wrong:
            raise Unusable(wrong)
        return marks

    outcome = ask(generate, parse)
    marks = outcome.value or []
    trace = {
        "step": "outline",
        "calls": len(outcome.outputs),
        "sentences": len(numbered),
        "points": len(marks),
        "failed": outcome.rejection or None,
    }
    update: TurnState = {"usage": state["usage"] + used, "trace": (*state["trace"], trace)}
    if marks:
        hits = [hit for mark in marks for hit in _highlighted(mark, numbered)]
        update["outlined"] = True
        update["recalled"] = replace(
            recalled, chosen=tuple(hits), spent=sum(hit.tokens for hit in hits)
        )
    return update


def read_marks(text: str, count: int) -> tuple[list[Mark], str]:
    """The marks of an outline of `count` sentences, and the reason to reject it or ""."""
    begin, end = text.find("{"), text.rfind("}")
    try:
        found = json.loads(text[begin : end + 1])["points"]
        marks = [
            Mark(" ".join(str(each["heading"]).split())[:_HEADING], each["first"], each["last"])
            for each in found[:_MOST]
        ]
    except (ValueError, KeyError, TypeError):
        return [], 'it is no JSON of the form {"points": [{"heading", "first", "last"}]}'
    taken: set[int] = set()
    for mark in marks:
        if not (type(mark.first) is type(mark.last) is int):
            return [], '"first" and "last" must be numbers of sentences'
        if not 1 <= mark.first <= mark.last <= count:
            return [], f"{mark.first} to {mark.last} is no range of the sentences 1 to {count}"
        if taken & (marked := set(range(mark.first, mark.last + 1))):
            return [], f"the sentence {min(taken & marked)} stands under two headings"
        taken |= marked
    return marks, ""


def _sentences(hit: Hit) -> Iterator[_Sentence]:
    for start, end, _ in sentences(hit.event.text):
        yield _Sentence(hit, start, end)


def _prompt(question: str, numbered: Sequence[_Sentence], wrong: str) -> str:
    passages: list[tuple[str, list[tuple[int, str]]]] = []
    before: Event | None = None
    for number, sentence in enumerate(numbered, start=1):
        if sentence.hit.event is not before:
            before = sentence.hit.event
            passages.append((before.place, []))
        passages[-1][1].append((number, sentence.text))
    return render("outline.md.j2", question=question, passages=passages, most=_MOST, wrong=wrong)


def _highlighted(mark: Mark, numbered: Sequence[_Sentence]) -> list[Hit]:
    """The marked part of each event, as an event."""
    marked: dict[int, list[_Sentence]] = {}
    for sentence in numbered[mark.first - 1 : mark.last]:
        marked.setdefault(sentence.hit.event.id, []).append(sentence)
    return [
        _stretch(group[0].hit, group[0].start, group[-1].end, mark.heading)
        for group in marked.values()
    ]


def _stretch(hit: Hit, start: int, end: int, heading: str) -> Hit:
    event = hit.event
    text = event.text[start:end]
    narrowed = replace(event, start=event.start + start, end=event.start + end, text=text)
    tokens = estimate_tokens(text) + OVERHEAD
    return replace(hit, event=narrowed, tokens=tokens, note=heading)


def _schema(count: int) -> dict[str, Any]:
    number = {"type": "integer", "minimum": 1, "maximum": count}
    point = {
        "type": "object",
        "properties": {
            "heading": {"type": "string", "minLength": 1, "maxLength": _HEADING},
            "first": number,
            "last": number,
        },
        "required": ["heading", "first", "last"],
        "additionalProperties": False,
    }
    points = {"type": "array", "items": point, "maxItems": _MOST}
    return {
        "type": "object",
        "properties": {"points": points},
        "required": ["points"],
        "additionalProperties": False,
    }
