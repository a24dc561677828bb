"""The vllm engine: tool calls as servers give them, whole or in pieces."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.engines.asking import SEARCH, Attach, ask, read
from tests.engines.loopback import Loopback, events

CHAT = "POST /v1/chat/completions"


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def call(**fields: Any) -> dict[str, Any]:
    return delta(tool_calls=[fields])


BOAT_CALL = ("search_memory", {"query": "boat"})
AS_OBJECT = {"name": "search_memory", "arguments": {"query": "boat"}}
TWICE_ENCODED = {"name": "search_memory", "arguments": json.dumps('{"query": "boat"}')}


@pytest.mark.parametrize(
    "parts",
    [
        [call(index=0, id="a", function=AS_OBJECT)],
        [call(function={"name": "search_memory", "arguments": '{"query": '}),
         call(function={"arguments": '"boat"}'})],
        [call(index=0, function={"name": "search_memory", "arguments": None}),
         call(index=0, function={"name": None, "arguments": '{"query": "boat"}'})],
        [call(index=0, function=TWICE_ENCODED)],
        [delta(tool_calls={"function": AS_OBJECT})],
        [delta(function_call={"name": "search_memory", "arguments": '{"query": "boat"}'})],
        [call(index=None, id=None, type=None, function=None),
         call(index="0", function=AS_OBJECT)],
    ],
)  # fmt: skip
def test_tool_calls_in_the_forms_that_servers_give_them(
    server: Loopback, attach: Attach, parts: list[dict[str, Any]]
) -> None:
    server.on(CHAT, events([*parts, delta("tool_calls")]))
    answered = read(attach(server.url).stream(ask(tools=(SEARCH,))))
    assert answered.calls == [BOAT_CALL]
    assert answered.last.finish == "tool_calls"


def test_parallel_calls_without_index_or_id_are_told_apart(
    server: Loopback, attach: Attach
) -> None:
    one = {"name": "search_memory", "arguments": '{"query": "boat"}'}
    server.on(CHAT, events([delta(tool_calls=[{"function": one}, {"function": one}])]))
    answered = read(attach(server.url).stream(ask(tools=(SEARCH,))))
    assert answered.calls == [BOAT_CALL] * 2
    assert len({call.id for call in answered.last.tool_calls}) == 2
