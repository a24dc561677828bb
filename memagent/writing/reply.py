"""What a model answered, as data: parsed, checked, and where it is broken what is left of it.

Imports pydantic, so it is imported where a model is asked only. Knows nothing of engines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from memagent.agent.structured_retry import Unusable
from memagent.memory.segmentation.sentences import sentences
from memagent.writing.shape import PLANS

__all__ = ["Add", "Changes", "Drop", "StepReply", "parse_changes", "parse_step", "rest"]

# Far above what is asked for: an engine that no schema binds may say more, within reason.
_LONGEST = 600

# What weak models put into bound strings, and SQLite's text functions stop at.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _said(text: str) -> str:
    kept = _CONTROL.sub("", text)
    if not kept.strip():
        raise ValueError("it is empty")
    kept.encode()  # a lone surrogate is a ValueError
    return kept


_Paragraph = Annotated[str, AfterValidator(_said)]
_Line = Annotated[str, Field(max_length=_LONGEST), AfterValidator(_one_line), AfterValidator(_said)]
_Reason = Annotated[str, AfterValidator(_one_line)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Drop(_Model):
    """A line of working memory that is no longer needed."""

    line: int
    reason: _Reason = ""


class Add(_Model):
    """A new line."""

    text: _Line
    reason: _Reason = ""


class Changes(_Model):
    """What is to become of working memory."""

    drop: tuple[Drop, ...] = ()
    add: tuple[Add, ...] = ()


class StepReply(Changes):
    """A paragraph, the changes of working memory, and plans for what comes next."""

    paragraph: _Paragraph
    plans: Annotated[tuple[_Line, ...], Field(min_length=1)]


_Reply = TypeVar("_Reply", bound=Changes)


def parse_step(text: str, numbers: Sequence[int]) -> StepReply:
    """The answer of a step; Unusable where it is none. `numbers` are the lines it may drop."""
    reply = _parse(StepReply, text, numbers)
    return reply.model_copy(
        update={"paragraph": reply.paragraph.strip(), "plans": reply.plans[:PLANS]}
    )


def parse_changes(text: str, numbers: Sequence[int]) -> Changes:
    """The answer to a question for changes alone; Unusable where it is none."""
    return _parse(Changes, text, numbers)


def rest(text: str) -> str | None:
    """The paragraph of a broken answer: of JSON that was cut off, or of a model that writes none.

    A paragraph that was cut off itself ends with its last whole sentence. None where there is none.
    """
    begin = text.find("{")
    if begin < 0:
        return _encodable(text)
    said = text[begin:]
    try:
        value = from_json(said, allow_partial="trailing-strings")
        cut = value != from_json(said, allow_partial=True)
    except ValueError:
        value, cut = _first(said), False
    found = value.get("paragraph") if isinstance(value, dict) else None
    if not isinstance(found, str):
        return None
    kept = _encodable(found)
    return _whole(kept) if cut and len(value) == 1 and kept is not None else kept


def _parse(kind: type[_Reply], text: str, numbers: Sequence[int]) -> _Reply:
    begin = text.find("{")
    if begin < 0:
        raise Unusable("it holds no JSON object")
    try:
        # What stands around the object, such as a fence of Markdown, does no harm.
        value, _ = json.JSONDecoder().raw_decode(text[begin:])
        reply = kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise Unusable(f"{place}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise Unusable(f"it is no whole JSON: {error}") from error
    for drop in reply.drop:
        if drop.line not in numbers:
            raise Unusable(f"drop: working memory shows no line {drop.line}")
    return reply


def _first(text: str) -> Any:
    try:
        return json.JSONDecoder().raw_decode(text)[0]
    except (ValueError, RecursionError):
        return None


def _whole(text: str) -> str:
    """Without the last sentence where it has no end, as long as another is left."""
    places = list(sentences(text))
    if len(places) < 2 or re.search(r"[.!?…。！？]\W*$", text):
        return text
    return text[: places[-2][1]]


def _encodable(text: str) -> str | None:
    kept = _CONTROL.sub("", text.encode("utf-8", "ignore").decode()).strip()
    return kept if any(character.isalnum() for character in kept) else None
