"""The vllm engine: answers as they stream, with tools and without."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from memagent.types import Chunk, Message, Request, ToolCall, Usage
from tests.engines.asking import NO_TEMPLATE, Attach, ask
from tests.engines.loopback import Loopback, deltas, endless, events, reply

CHAT = "POST /v1/chat/completions"
PLAIN = "POST /v1/completions"
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "recall", "parameters": {"type": "object", "properties": {}}},
}


def text_of(chunks: Iterable[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def tool_piece(index: int, arguments: str, **call: str) -> dict[str, Any]:
    function: dict[str, Any] = {"arguments": arguments}
    if "name" in call:
        function["name"] = call["name"]
    piece: dict[str, Any] = {"index": index, "type": "function", "function": function}
    if "id" in call:
        piece["id"] = call["id"]
    return {"choices": [{"index": 0, "delta": {"tool_calls": [piece]}, "finish_reason": None}]}


def test_answer_streams_in_chunks_and_ends_with_usage(server: Loopback, attach: Attach) -> None:
    server.on(CHAT, events(deltas("In ", "the ", "drawer.")))
    chunks = list(attach(server.url).stream(ask(max_tokens=9, temperature=0.5, seed=3)))
    assert [chunk.text for chunk in chunks] == ["In ", "the ", "drawer.", ""]
    assert chunks[-1] == Chunk(finish="stop", usage=Usage(prompt=7, completion=3))
    sent = server.bodies(CHAT)[0]
    assert sent["messages"] == [{"role": "user", "content": "Where is the key?"}]
    assert (sent["model"], sent["max_tokens"], sent["temperature"], sent["seed"]) == (
        "toy",
        9,
        0.5,
        3,
    )
    assert "tools" not in sent


def test_answer_cut_by_max_tokens_says_so(server: Loopback, attach: Attach) -> None:
    server.on(CHAT, events(deltas("In", finish="length")))
    assert list(attach(server.url).stream(ask()))[-1].finish == "length"


def test_tool_calls_are_put_together_from_their_pieces(server: Loopback, attach: Attach) -> None:
    parts = [
        tool_piece(0, "", id="a", name="recall"),
        tool_piece(0, '{"query": '),
        tool_piece(0, '"key"}'),
        tool_piece(1, '{"n": 2}', id="b", name="open"),
        *deltas(finish="tool_calls"),
    ]
    server.on(CHAT, events(parts))
    last = list(attach(server.url).stream(ask(tools=(TOOL,))))[-1]
    assert last.finish == "tool_calls"
    assert last.tool_calls == (
        ToolCall("a", "recall", {"query": "key"}),
        ToolCall("b", "open", {"n": 2}),
    )
    assert server.bodies(CHAT)[0]["tools"] == [TOOL]


def test_parallel_calls_under_one_index_are_told_apart_by_id(
    server: Loopback, attach: Attach
) -> None:
    parts = [
        tool_piece(0, '{"q": 1}', id="a", name="recall"),
        tool_piece(0, '{"q": 2}', id="b", name="recall"),
        *deltas(finish="stop"),
    ]
    server.on(CHAT, events(parts))
    last = list(attach(server.url).stream(ask(tools=(TOOL,))))[-1]
    assert [call.arguments for call in last.tool_calls] == [{"q": 1}, {"q": 2}]
    assert last.finish == "tool_calls"


def test_tool_arguments_that_are_no_json_object_become_empty(
    server: Loopback, attach: Attach
) -> None:
    parts = [
        tool_piece(0, '{"query": ', name="recall"),
        tool_piece(1, "[1]", name="recall"),
        *deltas(finish="tool_calls"),
    ]
    server.on(CHAT, events(parts))
    last = list(attach(server.url).stream(ask(tools=(TOOL,))))[-1]
    assert last.tool_calls == (ToolCall("call_1", "recall", {}), ToolCall("call_2", "recall", {}))


def test_tool_messages_travel_in_the_protocols_form(server: Loopback, attach: Attach) -> None:
    server.on(CHAT, events(deltas("Yes.")))
    messages = (
        Message("assistant", "", tool_calls=(ToolCall("a", "recall", {"q": "é"}),)),
        Message("tool", "found", tool_call_id="a"),
    )
    list(attach(server.url).stream(Request(messages, "q")))
    asked, answered = server.bodies(CHAT)[0]["messages"]
    assert asked["tool_calls"][0]["function"]["name"] == "recall"
    assert asked["tool_calls"][0]["id"] == answered["tool_call_id"] == "a"


@pytest.mark.parametrize(
    "words",
    [
        '"auto" tool choice requires --enable-auto-tool-choice',
        "registry/toy does not support tools",
    ],
)
def test_tools_that_are_refused_are_left_out_from_then_on(
    server: Loopback, words: str, attach: Attach
) -> None:
    server.on(CHAT, reply({"error": {"message": words}}, 400), events(deltas("Without ", "tools.")))
    engine = attach(server.url).connect()
    assert engine.capabilities.tools
    assert text_of(list(engine.stream(ask(tools=(TOOL,))))) == "Without tools."
    assert not engine.capabilities.tools
    list(engine.stream(ask(tools=(TOOL,))))
    assert ["tools" in body for body in server.bodies(CHAT)] == [True, False, False]


def test_tools_refused_as_a_failure_of_the_server_are_left_out_too(
    server: Loopback, attach: Attach
) -> None:
    refusal = reply({"error": {"message": "tools param requires --jinja flag"}}, 500)
    server.on(CHAT, refusal, events(deltas("Without.")))
    assert text_of(attach(server.url).stream(ask(tools=(TOOL,)))) == "Without."
    assert ["tools" in body for body in server.bodies(CHAT)] == [True, False]


def test_model_without_chat_template_gets_plain_text_from_then_on(
    server: Loopback, attach: Attach
) -> None:
    server.on(CHAT, reply(NO_TEMPLATE, 400))
    part = {"choices": [{"index": 0, "text": " In it.", "finish_reason": None}]}
    last = {"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}
    server.on(PLAIN, events([part, last]))
    engine = attach(server.url)
    request = Request((Message("system", "Be brief."), Message("user", "Where?")), "Where?")
    chunks = list(engine.stream(request))
    assert (text_of(chunks), chunks[-1].finish) == (" In it.", "stop")
    list(engine.stream(request))
    assert len(server.bodies(CHAT)) == 1
    assert [body["prompt"] for body in server.bodies(PLAIN)] == [
        "System: Be brief.\n\nUser: Where?\n\nAssistant:"
    ] * 2
    assert not engine.capabilities.tools


def test_closing_the_stream_hangs_up(server: Loopback, attach: Attach) -> None:
    server.on(CHAT, endless)
    stream = attach(server.url).stream(ask())
    assert next(stream).text == "word "
    stream.close()  # type: ignore[attr-defined]
    assert server.hung_up.wait(30)
