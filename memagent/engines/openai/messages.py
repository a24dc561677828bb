"""The messages of a request in the words of the OpenAI protocol, or as plain text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from memagent.types import Message

__all__ = ["PLAIN_STOP", "alternating", "chat_messages", "plain_prompt"]

PLAIN_STOP = "\n\nUser:"
_LABELS = {"system": "System", "user": "User", "assistant": "Assistant", "tool": "Tool"}


def chat_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The messages as the `messages` of /v1/chat/completions."""
    return [_message(message) for message in messages]


def plain_prompt(messages: Sequence[Message]) -> str:
    """The messages as one text for a model without a chat template, open for the answer."""
    turns = [f"{_LABELS[message.role]}: {message.content}" for message in messages]
    return "\n\n".join([*turns, "Assistant:"])


def alternating(messages: Sequence[Message]) -> list[Message]:
    """The messages for a template that knows only users and assistants, in turns.

    System messages go to the head of the first user turn, tool calls and their results become
    text, and neighbours with the same role are joined.
    """
    system = [message.content for message in messages if message.role == "system"]
    turns = [_without_tools(message) for message in messages if message.role != "system"]
    if system:
        turns.insert(0, Message("user", "\n\n".join(system)))
    return [
        Message(role, "\n\n".join(turn.content for turn in group if turn.content))
        for role, group in groupby(turns, key=lambda turn: turn.role)
    ]


def _without_tools(message: Message) -> Message:
    if message.role == "tool":
        return Message("user", f"Result of the tool:\n{message.content}")
    calls = [f"Call {call.name} with {json.dumps(call.arguments)}" for call in message.tool_calls]
    content = "\n".join(filter(None, [message.content, *calls]))
    return replace(message, content=content, tool_calls=(), tool_call_id=None)


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
