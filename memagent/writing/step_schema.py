"""The JSON schema of a model's answer, with lengths chosen so that it fits the answer's tokens.

Knows nothing of prompts, and nothing of how answers are used.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from memagent.engines.base import Engine
from memagent.errors import EngineError
from memagent.memory.store.working import MOST_LINES

__all__ = ["PLANS", "Shape", "changes_schema", "measured", "step_schema"]

PLANS = 3

# Most changes of working memory in one answer, and shares of the space in an answer.
_CHANGES = 4
_PARAGRAPH, _PLANS, _REASONS = 0.5, 0.25, 0.3
_SAFE = 0.8  # share of the measured characters per token that is relied on
_CHARS = 3.0  # per token, if there is no text to measure
_LEAST = 20  # fewest tokens for a paragraph


@dataclass(frozen=True, slots=True)
class Shape:
    """Maximum characters of each string, and maximum number of lines to drop and to add."""

    paragraph: int
    plan: int
    line: int
    reason: int
    changes: int


def measured(engine: Engine, max_tokens: int, sample: str) -> Shape:
    """The shape that fits `max_tokens` of `engine` for text like `sample`.

    Raises EngineError if `max_tokens` is too small for a paragraph.
    """
    tokens = engine.count(sample)
    chars = min(max(len(sample) / tokens * _SAFE, 0.5), 4.0) if tokens else _CHARS * _SAFE
    for changes in range(_CHANGES, 0, -1):
        around = engine.count(_skeleton(changes))
        room = int((max_tokens - around) * chars)
        # JSON syntax should take at most a third of the answer.
        if around * 3 <= max_tokens or changes == 1:
            break
    if (max_tokens - around) * _PARAGRAPH < _LEAST:
        raise EngineError(
            f"an answer of {max_tokens} tokens has no room for a paragraph, plans and changes of "
            "memory: raise --max-tokens, or serve the model with a larger context"
        )
    memory = room * (1 - _PARAGRAPH - _PLANS) / changes
    reason = int(memory * _REASONS / 2)
    return Shape(
        paragraph=int(room * _PARAGRAPH),
        plan=int(room * _PLANS / PLANS),
        line=int(memory) - 2 * reason,
        reason=reason,
        changes=changes,
    )


def step_schema(shape: Shape, numbers: Sequence[int]) -> dict[str, Any]:
    """The schema of a step; `numbers` are the lines of working memory that it may drop."""
    return _object(
        {
            "paragraph": _text(shape.paragraph),
            **_changes(shape, numbers),
            "plans": {
                "type": "array",
                "items": _text(shape.plan),
                "minItems": PLANS,
                "maxItems": PLANS,
            },
        }
    )


def changes_schema(shape: Shape, numbers: Sequence[int]) -> dict[str, Any]:
    """The schema of an answer that only changes lines."""
    return _object(_changes(shape, numbers))


def _changes(shape: Shape, numbers: Sequence[int]) -> dict[str, Any]:
    reason = {"type": "string", "maxLength": shape.reason}
    add = _object({"text": _text(shape.line), "reason": reason})
    fields = {"add": {"type": "array", "items": add, "maxItems": shape.changes}}
    if numbers:
        drop = _object({"line": {"enum": list(numbers)}, "reason": reason})
        most = min(shape.changes, len(numbers))
        return {"drop": {"type": "array", "items": drop, "maxItems": most}, **fields}
    return fields


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _text(most: int) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": most}


def _skeleton(changes: int) -> str:
    """A step with empty strings."""
    drop = [{"line": MOST_LINES, "reason": ""}] * changes
    add = [{"text": "", "reason": ""}] * changes
    return json.dumps({"paragraph": "", "drop": drop, "add": add, "plans": [""] * PLANS})
