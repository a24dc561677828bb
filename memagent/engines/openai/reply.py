"""The chunks of an answer, made from the JSON objects that a server sends."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from memagent.engines.openai.errors import ReplyError
from memagent.engines.openai.tool_calls import CallPieces
from memagent.engines.openai.uncertainty import FirstToken
from memagent.engines.openai.words import error_words
from memagent.types import Chunk, Usage

__all__ = ["reply_chunks"]

_THINKING = ("reasoning_content", "reasoning", "thinking")
# How servers say that an answer was cut, refused, or broken off; every other reason is an end.
_CUT = ("length", "max_tokens", "max_output_tokens", "model_length")
_REFUSED = ("content_filter", "refusal", "safety", "blocked", "prohibited_content", "recitation")
_BROKEN = ("error", "abort", "aborted", "cancelled", "network_error")

Finish = Literal["stop", "length", "tool_calls", "refused"]


def reply_chunks(objects: Iterable[dict[str, Any]]) -> Iterator[Chunk]:
    """Text and thinking as they come, then one chunk with tool calls, finish reason and usage.

    An answer in one piece is read like a stream of one part. Null and missing parts are skipped.
    An answer that ends without a finish reason is complete. Raises ReplyError for a part of another
    type than it must have, and for a finish reason that says the answer was broken off.
    """
    import httpx2

    reply = _Reply()
    try:
        for value in objects:
            usage = value.get("usage")
            reply.usage = _usage(usage) or reply.usage if isinstance(usage, dict) else reply.usage
            for choice in _dicts(value.get("choices"), "choices"):
                yield from reply.read(choice)
    except httpx2.TransportError:
        if reply.finish is None:
            raise
    calls = reply.calls.complete()
    finish = reply.finish or "stop"
    if finish == "tool_calls":
        finish = "stop"
    yield Chunk(
        tool_calls=calls,
        finish="tool_calls" if calls else "refused" if reply.refused else finish,
        usage=reply.usage,
        uncertainty=reply.first.take(),
    )


class _Reply:
    """What has been read of one answer."""

    def __init__(self) -> None:
        self.calls = CallPieces()
        self.first = FirstToken()
        self.finish: Finish | None = None
        self.usage: Usage | None = None
        self.refused = False
        self._wrote = False

    def read(self, choice: dict[str, Any]) -> Iterator[Chunk]:
        """The chunks of one choice."""
        if choice.get("error"):
            raise ReplyError(error_words(choice["error"]))
        self.first.read(choice.get("logprobs"))
        message = _dict(choice.get("delta"), "delta")
        # Some servers end a stream with the whole message once more.
        if not message and not self._wrote:
            message = _dict(choice.get("message"), "message")
        for key in _THINKING:
            thinking = _parts_text(message.get(key), key)
            if thinking:
                yield Chunk(thinking=thinking)
                break
        yield from self._content(message.get("content") or choice.get("text"))
        if message.get("refusal"):
            self.refused = True
            yield from self._content(message["refusal"])
        for piece in _dicts(message.get("tool_calls"), "tool_calls"):
            self.calls.add(piece)
        if message.get("function_call"):
            self.calls.add(_dict(message["function_call"], "function_call"))
        self.finish = _finish(choice.get("finish_reason")) or self.finish

    def _content(self, content: object) -> Iterator[Chunk]:
        """The chunks of a content: a text, or a list of parts that are text or thinking."""
        if isinstance(content, list):
            for part in content:
                if isinstance(part, dict) and part.get("type") in ("thinking", "reasoning"):
                    inner = next((part[key] for key in ("thinking", "text") if part.get(key)), None)
                    yield Chunk(thinking=_parts_text(inner, "thinking"))
                else:
                    yield from self._content(_parts_text(part, "content"))
            return
        text = _parts_text(content, "content")
        if text:
            self._wrote = True
            yield Chunk(text=text, uncertainty=self.first.take())


def _finish(reason: object) -> Finish | None:
    if isinstance(reason, dict):
        reason = reason.get("type")
    if not reason:
        return None
    name = str(reason).lower()
    if name in _BROKEN:
        raise ReplyError(f"finish reason: {name}")
    if name in _CUT:
        return "length"
    if name in _REFUSED:
        return "refused"
    return "tool_calls" if name in ("tool_calls", "function_call") else "stop"


def _usage(usage: dict[str, Any]) -> Usage | None:
    def tokens(key: str) -> int:
        count = usage.get(key)
        return int(count) if isinstance(count, int | float) and 0 <= count < 2**53 else 0

    counted = Usage(prompt=tokens("prompt_tokens"), completion=tokens("completion_tokens"))
    return counted if counted != Usage() else None


def _parts_text(value: object, name: str) -> str:
    """A text, or the text of a list of parts; "" for null."""
    if not value:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(_parts_text(part, name) for part in value)
    if isinstance(value, dict) and isinstance(value.get("text") or "", str):
        return value.get("text") or ""
    raise _unexpected(name, value)


def _dict(value: object, name: str) -> dict[str, Any]:
    if not value:
        return {}
    if not isinstance(value, dict):
        raise _unexpected(name, value)
    return value


def _dicts(value: object, name: str) -> list[dict[str, Any]]:
    """A list of objects without its nulls; a single object is a list of one."""
    if isinstance(value, dict):
        return [value]
    if not value:
        return []
    if not isinstance(value, list):
        raise _unexpected(name, value)
    return [_dict(item, name) for item in value if item]


def _unexpected(name: str, value: object) -> ReplyError:
    return ReplyError(f"unexpected {name}: {json.dumps(value)[:80]}")
