"""Parsing and checking a model's answer, and saving the paragraph from a broken one.

Imports pydantic, so it is imported only where a model is called. Knows nothing of engines.
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
from memagent.writing.step_schema import PLANS

__all__ = ["Add", "Changes", "Drop", "StepReply", "parse_changes", "parse_step", "rest"]

# Far above the schema's limit: an engine that does not enforce it may write a little more.
_LONGEST = 600

# Weak models write these into strings, and SQLite's text functions stop at them.
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
    """Changes to working memory."""

    drop: tuple[Drop, ...] = ()
    add: tuple[Add, ...] = ()


class StepReply(Changes):
    """A paragraph, changes to working memory, and plans for the next paragraph."""

    paragraph: _Paragraph
    plans: Annotated[tuple[_Line, ...], Field(min_length=1)]


_Reply = TypeVar("_Reply", bound=Changes)


def parse_step(text: str, numbers: Sequence[int]) -> StepReply:
    """The parsed answer of a step; `numbers` are the lines it may drop. Raises Unusable."""
    reply = _parse(StepReply, text, numbers)
    return reply.model_copy(
        update={"paragraph": reply.paragraph.strip(), "plans": reply.plans[:PLANS]}
    )


def parse_changes(text: str, numbers: Sequence[int]) -> Changes:
    """The parsed answer to a request for changes only. Raises Unusable."""
    return _parse(Changes, text, numbers)


def rest(text: str) -> str | None:
    """The paragraph of an unusable answer, such as truncated JSON or plain text; None without one.

    A paragraph that is itself truncated ends with its last complete sentence.
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
        # Text around the object, such as a Markdown fence, is ignored.
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
    """The text without an incomplete last sentence, unless it is the only one."""
    places = list(sentences(text))
    if len(places) < 2 or re.search(r"[.!?…。！？]\W*$", text):
        return text
    return text[: places[-2][1]]


def _encodable(text: str) -> str | None:
    kept = _CONTROL.sub("", text.encode("utf-8", "ignore").decode()).strip()
    return kept if any(character.isalnum() for character in kept) else None
