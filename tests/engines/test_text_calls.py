"""The vllm engine: stop tokens, markers of templates and tool calls that come as text."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engines.asking import SEARCH, Attach, ask, read
from tests.engines.loopback import Loopback, deltas, endless, events, reply

CHAT = "POST /v1/chat/completions"
BOAT = ("search_memory", {"query": "boat"})
OBJECT = '{"name": "search_memory", "arguments": {"query": "boat"}}'
OTHER = '{"name": "launch", "arguments": {"query": "boat"}}'


def chunks(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.mark.parametrize(
    "end",
    [
        "<|im_end|>", "</s>", "<|eot_id|>", "<|endoftext|>", "<end_of_turn>", "<|end|>", "<EOS>",
        "<|end_of_text|>", "<｜end▁of▁sentence｜>", "<|END_OF_TURN_TOKEN|>", "<|im_end|>\n",
        "<|im_start|>user\nAnd the sail?", "<|eot_id|><|start_header_id|>user", "[INST] And?",
        "<|user|>And?", "<tool_response>\nnone</tool_response>",
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 4, 100])
def test_the_answer_ends_at_a_stop_token(
    server: Loopback, attach: Attach, end: str, size: int
) -> None:
    server.on(CHAT, events(deltas(*chunks("It is **green**." + end, size), finish="length")))
    answered = read(attach(server.url).stream(ask()))
    assert (answered.text, answered.last.finish) == ("It is **green**.", "stop")


def test_a_server_that_goes_on_behind_a_stop_token_is_stopped(
    server: Loopback, attach: Attach
) -> None:
    def send(exchange: Any) -> None:
        import json

        exchange.begin("text/event-stream")
        for text in ("Green.", "<|im_end|>"):
            line = json.dumps(deltas(text, finish=None)[0])
            exchange.piece(f"data: {line}\n\n".encode())
        exchange.begin = lambda kind: None
        endless(exchange)

    server.on(CHAT, send)
    assert read(attach(server.url).stream(ask())).text == "Green."
    assert server.hung_up.wait(30)


@pytest.mark.parametrize(
    "header",
    [
        "<|im_start|>assistant\n", "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "<start_of_turn>model\n", "<|assistant|>", "[/INST] ", "<bos>", "<|begin_of_text|>",
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 100])
def test_a_header_before_the_answer_is_left_out(
    server: Loopback, attach: Attach, header: str, size: int
) -> None:
    server.on(CHAT, events(deltas(*chunks(header + "Green.", size))))
    assert read(attach(server.url).stream(ask())).text == "Green."


@pytest.mark.parametrize(
    "text",
    [
        "ChatML ends turns with `<|im_end|>`, Llama with `</s>`.",
        "```\n<|im_start|>user\nHi<|im_end|>\n```\nThat is all.",
        "~~~\n</s>\n~~~\nEnd.",
        "In HTML, <s>this</s> is struck.",
        "a < b | c > d <| e",
        "Call it in `<tool_call>{}</tool_call>`.",
        "The <tool_call> tag begins a call.",
        "[TOOL] [1] [x](y)",
    ],
)
@pytest.mark.parametrize("size", [1, 100])
def test_markers_that_the_answer_is_about_stay_in_it(
    server: Loopback, attach: Attach, text: str, size: int
) -> None:
    server.on(CHAT, events(deltas(*chunks(text, size))))
    assert read(attach(server.url).stream(ask(tools=(SEARCH,)))).text == text


def test_a_stop_token_behind_code_that_was_left_open_is_no_code(
    server: Loopback, attach: Attach
) -> None:
    server.on(CHAT, events(deltas("```\nx = 1\n", "<|im_", "end|>")))
    assert read(attach(server.url).stream(ask())).text == "```\nx = 1\n"


FORMS = [
    f"<tool_call>\n{OBJECT}\n</tool_call>",
    f"<tool_call>\n{OBJECT}",
    "<tool_call>{'name': 'search_memory', 'arguments': {'query': 'boat'}}</tool_call>",
    '<tool_call>{"name": "search_memory", "arguments": "{\\"query\\": \\"boat\\"}"}</tool_call>',
    "<tool_call>\n<function=search_memory>\n<parameter=query>\nboat\n</parameter>\n</function>\n"
    "</tool_call>",
    "<function=search_memory>\n<parameter=query>\nboat\n</parameter>\n</function>",
    '<function=search_memory>{"query": "boat"}</function>',
    '<invoke name="search_memory">\n<parameter name="query">boat</parameter>\n</invoke>',
    "<tool_call>search_memory\n<arg_key>query</arg_key>\n<arg_value>boat</arg_value>\n</tool_call>",
    '{"name": "search_memory", "parameters": {"query": "boat"}}',
    '\n {"type": "function", "name": "search_memory", "parameters": {"query": "boat"}}',
    '{"type": "function", "function": {"name": "search_memory", "arguments": {"query": "boat"}}}',
    f"```json\n{OBJECT}\n```",
    f"<tools>\n{OBJECT}\n</tools>",
    f"[{OBJECT}]",
    '[search_memory(query="boat")]',
    "search_memory(query='boat')",
    '<|python_tag|>{"name": "search_memory", "parameters": {"query": "boat"}}<|eom_id|>',
    '<|python_tag|>search_memory.call(query="boat")<|eot_id|>',
    f"[TOOL_CALLS][{OBJECT}]</s>",
    f"[TOOL_CALLS] [{OBJECT}]",
    '[TOOL_CALLS]search_memory[ARGS]{"query": "boat"}',
    '[TOOL_CALLS]search_memory{"query": "boat"}',
    f"<|tool_call|>[{OBJECT}]<|/tool_call|>",
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>search_memory\n"
    '```json\n{"query": "boat"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    f"<think>Let me search.</think>\n\n<tool_call>\n{OBJECT}\n</tool_call><|im_end|>",
]


@pytest.mark.parametrize("text", FORMS)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_calls_written_as_text_are_tool_calls(
    server: Loopback, attach: Attach, text: str, size: int
) -> None:
    server.on(CHAT, events(deltas(*chunks(text, size))))
    answered = read(attach(server.url).stream(ask(tools=(SEARCH,))))
    assert (answered.text.strip(), answered.calls) == ("", [BOAT])
    assert answered.last.finish == "tool_calls"
    assert answered.last.usage is not None


def test_text_before_calls_is_kept_and_text_after_them_is_not(
    server: Loopback, attach: Attach
) -> None:
    text = f"I search.\n<tool_call>{OBJECT}</tool_call>\n<tool_call>{OBJECT}</tool_call>\nDone."
    server.on(CHAT, events(deltas(*chunks(text, 5))))
    answered = read(attach(server.url).stream(ask(tools=(SEARCH,))))
    assert (answered.text, answered.calls) == ("I search.\n", [BOAT, BOAT])
    assert [call.id for call in answered.last.tool_calls] == ["call_1", "call_2"]


def test_arguments_that_are_no_text_are_read_by_the_schema(
    server: Loopback, attach: Attach
) -> None:
    text = (
        "<tool_call><function=search_memory><parameter=query>7</parameter>"
        "<parameter=number>7</parameter></function></tool_call>"
    )
    server.on(CHAT, events(deltas(text)))
    answered = read(attach(server.url).stream(ask(tools=(SEARCH,))))
    assert answered.calls == [("search_memory", {"query": "7", "number": 7})]


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "Ada", "arguments": {"born": 1815}}',
        '{"boat": "green"}',
        "[1, 2, 3]",
        '{"name": "search_memory"}',
        "```json\n" + OTHER + "\n```",
        OTHER,
        "search_memory looks for passages.",
        "```python\nprint('boat')\n```",
        'Like this: {"name": "search_memory", "arguments": {"query": "boat"}}',
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_json_that_is_an_answer_is_shown(
    server: Loopback, attach: Attach, text: str, size: int
) -> None:
    server.on(CHAT, events(deltas(*chunks(text, size))))
    answered = read(attach(server.url).stream(ask(tools=(SEARCH,))))
    assert (answered.text, answered.calls) == (text, [])


def test_json_is_no_call_where_no_tools_were_offered(server: Loopback, attach: Attach) -> None:
    server.on(CHAT, events(deltas(OBJECT)))
    answered = read(attach(server.url).stream(ask()))
    assert (answered.text, answered.calls) == (OBJECT, [])


@pytest.mark.parametrize("tools", [(), (SEARCH,)])
@pytest.mark.parametrize(
    "markup",
    [
        f"<tool_call>{OTHER}</tool_call>", f"<tool_call>{OTHER}", f"[TOOL_CALLS][{OTHER}]",
        "<function=launch><parameter=a>1</parameter></function>", f"<|python_tag|>{OTHER}",
    ],
)  # fmt: skip
def test_markup_of_calls_that_cannot_be_made_is_not_shown(
    server: Loopback, attach: Attach, tools: Any, markup: str
) -> None:
    server.on(CHAT, events(deltas(*chunks("Green.\n" + markup, 3))))
    answered = read(attach(server.url).stream(ask(tools=tools)))
    assert (answered.text, answered.calls, answered.last.finish) == ("Green.\n", [], "stop")


def test_calls_are_not_read_for_tools_that_the_server_refused(
    server: Loopback, attach: Attach
) -> None:
    server.on(CHAT, reply({"error": "no tools here"}, 400), events(deltas(OBJECT)))
    answered = read(attach(server.url).stream(ask(tools=(SEARCH,))))
    assert (answered.text, answered.calls) == (OBJECT, [])


def test_an_ordinary_answer_streams_though_tools_are_offered(
    server: Loopback, attach: Attach
) -> None:
    server.on("GET /props", reply({"chat_template": "add_generation_prompt"}))
    server.on(CHAT, endless)
    stream = attach(server.url).stream(ask(tools=(SEARCH,)))
    assert [next(stream).text for _ in range(3)] == ["word "] * 3
    stream.close()  # type: ignore[attr-defined]
    assert server.hung_up.wait(30)
