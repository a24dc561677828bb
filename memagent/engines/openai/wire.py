"""Messages and chunks in the words of the OpenAI protocol, both ways; opens no connection."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from memagent.types import Chunk, Message, ToolCall, Usage

if TYPE_CHECKING:
    from openai.types import Completion, CompletionUsage
    from openai.types.chat import ChatCompletionChunk
    from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall

__all__ = [
    "PLAIN_STOP",
    "TOP",
    "chat_chunks",
    "chat_messages",
    "completion_chunks",
    "entropy",
    "plain_prompt",
]

PLAIN_STOP = "\n\nUser:"
TOP = 20  # log-probabilities of a token; what vLLM gives unless it is told otherwise
_LABELS = {"system": "System", "user": "User", "assistant": "Assistant", "tool": "Tool"}

Finish = Literal["stop", "length", "tool_calls"]


def chat_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The messages as the `messages` of /v1/chat/completions."""
    return [_message(message) for message in messages]


def plain_prompt(messages: Sequence[Message]) -> str:
    """The messages as one text for a model without a chat template, open for the answer."""
    turns = [f"{_LABELS[message.role]}: {message.content}" for message in messages]
    return "\n\n".join([*turns, "Assistant:"])


def chat_chunks(stream: Iterable[ChatCompletionChunk]) -> Iterator[Chunk]:
    """Text as it comes, then one chunk with tool calls, finish reason and usage.

    A stream that ends without a finish reason yields no such last chunk.
    """
    calls, first = _Calls(), _First()
    finish: Finish | None = None
    usage: Usage | None = None
    for part in stream:
        usage = _usage(part.usage) or usage
        for choice in part.choices:
            if choice.logprobs is not None and choice.logprobs.content:
                first.saw(top.logprob for top in choice.logprobs.content[0].top_logprobs)
            if choice.delta.content:
                yield Chunk(text=choice.delta.content, uncertainty=first.told())
            calls.extend(choice.delta.tool_calls or ())
            finish = _finish(choice.finish_reason) or finish
    if finish is not None:
        asked = calls.complete()
        yield Chunk(
            tool_calls=asked,
            finish="tool_calls" if asked else finish,
            usage=usage,
            uncertainty=first.told(),
        )


def completion_chunks(stream: Iterable[Completion]) -> Iterator[Chunk]:
    """The same for /v1/completions, which has no tools."""
    first = _First()
    finish: Finish | None = None
    usage: Usage | None = None
    for part in stream:
        usage = _usage(part.usage) or usage
        for choice in part.choices:
            if choice.logprobs is not None and choice.logprobs.top_logprobs:
                first.saw((choice.logprobs.top_logprobs[0] or {}).values())
            if choice.text:
                yield Chunk(text=choice.text, uncertainty=first.told())
            finish = _finish(choice.finish_reason) or finish
    if finish is not None:
        yield Chunk(finish=finish, usage=usage, uncertainty=first.told())


def entropy(logprobs: Iterable[float]) -> float:
    """The entropy in nats of a distribution of which the likeliest `TOP` outcomes are known.

    All others count as one outcome, so it is never above that of the whole distribution.
    """
    known = sorted(map(math.exp, logprobs), reverse=True)[:TOP]
    rest = 1.0 - sum(known)
    return sum(-p * math.log(p) for p in (*known, rest) if p > 0)


class _First:
    """The uncertainty of an answer's first token, which may come before any text; told once."""

    def __init__(self) -> None:
        self._seen = False
        self._nats: float | None = None

    def saw(self, logprobs: Iterable[float]) -> None:
        given = [] if self._seen else list(logprobs)
        if given:
            self._seen, self._nats = True, entropy(given)

    def told(self) -> float | None:
        nats, self._nats = self._nats, None
        return nats


class _Calls:
    """Tool calls put together from the pieces in which a server streams them."""

    def __init__(self) -> None:
        self._calls: list[dict[str, str]] = []
        self._at: dict[int, dict[str, str]] = {}

    def extend(self, pieces: Iterable[ChoiceDeltaToolCall]) -> None:
        for piece in pieces:
            call = self._at.get(piece.index)
            # Some servers give parallel calls one index and tell them apart by id alone.
            if call is None or (piece.id and call["id"] and piece.id != call["id"]):
                call = {"id": "", "name": "", "arguments": ""}
                self._at[piece.index] = call
                self._calls.append(call)
            call["id"] = call["id"] or piece.id or ""
            if piece.function is not None:
                call["name"] = call["name"] or piece.function.name or ""
                call["arguments"] += piece.function.arguments or ""

    def complete(self) -> tuple[ToolCall, ...]:
        """The calls; arguments that are no JSON object become {}.

        The tool then answers which argument it misses, and the model can mend its call.
        """
        return tuple(
            ToolCall(
                id=call["id"] or f"call_{number}",
                name=call["name"],
                arguments=_arguments(call["arguments"]),
            )
            for number, call in enumerate(self._calls, start=1)
        )


def _arguments(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _message(message: Message) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        wire["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        wire["tool_call_id"] = message.tool_call_id
    return wire


def _finish(reason: str | None) -> Finish | None:
    if reason is None:
        return None
    if reason == "length":
        return "length"
    return "tool_calls" if reason == "tool_calls" else "stop"


def _usage(usage: CompletionUsage | None) -> Usage | None:
    if usage is None:
        return None
    return Usage(prompt=usage.prompt_tokens, completion=usage.completion_tokens)
