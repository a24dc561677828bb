"""The vllm engine: thinking is separated from the answer, whoever marks it and however."""

from __future__ import annotations

from typing import Any

import pytest

from memagent.errors import EngineError
from tests.engines.asking import SEARCH, Attach, ask, read
from tests.engines.loopback import Loopback, deltas, events, raw, reply, silence

CHAT = "POST /v1/chat/completions"
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "boolean"}}}
TAGS = [
    ("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<reasoning>", "</reasoning>"),
    ("<thought>", "</thought>"), ("<seed:think>", "</seed:think>"), ("[THINK]", "[/THINK]"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"), ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel>thought", "<channel|>"), ("◁think▷", "◁/think▷"),
]  # fmt: skip
HARMONY = (
    "<|channel|>analysis<|message|>perhaps red?<|end|><|start|>assistant"
    "<|channel|>final<|message|>The boat is green.<|return|>"
)


def chunks(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def thought(*deltas_: dict[str, str]) -> list[dict[str, Any]]:
    return [{"choices": [{"index": 0, "delta": each}]} for each in deltas_]


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content", "thinking"])
def test_thinking_that_the_server_parts_streams_as_thinking(
    server: Loopback, attach: Attach, field: str
) -> None:
    parts = thought({field: "perhaps "}, {field: "red?"}, {"content": "\n\nThe boat"})
    server.on(CHAT, events([*parts, *deltas(" is green.")]))
    stream = attach(server.url).stream(ask())
    assert next(stream).thinking == "perhaps "
    answered = read(stream)
    assert (answered.text, answered.thinking) == ("The boat is green.", "red?")


def test_thinking_sent_under_two_names_is_read_once(server: Loopback, attach: Attach) -> None:
    parts = thought({"reasoning": "red?", "reasoning_content": "red?"})
    server.on(CHAT, events([*parts, *deltas("Green.")]))
    assert read(attach(server.url).stream(ask())).thinking == "red?"


def test_content_in_parts_is_read_as_text_and_thinking(server: Loopback, attach: Attach) -> None:
    content: Any = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "red?"}]},
        {"type": "text", "text": "Green."},
    ]
    server.on(CHAT, events([*thought({"content": content}), *deltas()]))
    answered = read(attach(server.url).stream(ask()))
    assert (answered.text, answered.thinking) == ("Green.", "red?")


@pytest.mark.parametrize(("opener", "closer"), TAGS)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_thinking_between_tags_is_parted_however_it_is_cut(
    server: Loopback, attach: Attach, opener: str, closer: str, size: int
) -> None:
    text = f"\n{opener}\nperhaps `red`?\n{closer}\n\nThe boat is green."
    server.on(CHAT, events(deltas(*chunks(text, size))))
    answered = read(attach(server.url).stream(ask()))
    assert answered.text == "The boat is green."
    assert answered.thinking.strip() == "perhaps `red`?"


def test_thinking_between_tags_streams(server: Loopback, attach: Attach) -> None:
    server.on(CHAT, silence(deltas("<think>", "perhaps ", "red?", finish=None)))
    stream = attach(server.url, timeout=0.5).stream(ask())
    assert [next(stream).thinking, next(stream).thinking] == ["perhaps ", "red?"]
    with pytest.raises(EngineError):
        next(stream)


@pytest.mark.parametrize("size", [1, 4, 200])
def test_channels_of_gpt_oss_are_parted(server: Loopback, attach: Attach, size: int) -> None:
    server.on(CHAT, events(deltas(*chunks(HARMONY, size))))
    answered = read(attach(server.url).stream(ask()))
    assert (answered.text, answered.thinking) == ("The boat is green.", "perhaps red?")


def test_channels_without_their_special_tokens_are_parted(server: Loopback, attach: Attach) -> None:
    server.on(CHAT, events(deltas("analysis", "Perhaps red?assis", "tantfinalThe boat is green.")))
    answered = read(attach(server.url).stream(ask()))
    assert (answered.text, answered.thinking) == ("The boat is green.", "Perhaps red?")


def test_a_call_in_a_channel_is_a_tool_call(server: Loopback, attach: Attach) -> None:
    text = (
        "<|channel|>analysis<|message|>Search.<|end|><|start|>assistant<|channel|>commentary "
        'to=functions.search_memory <|constrain|>json<|message|>{"query": "boat"}<|call|>'
    )
    server.on(CHAT, events(deltas(*chunks(text, 5))))
    answered = read(attach(server.url).stream(ask(tools=(SEARCH,))))
    assert (answered.text, answered.thinking) == ("", "Search.")
    assert answered.calls == [("search_memory", {"query": "boat"})]


@pytest.mark.parametrize(
    "text",
    [
        "Write `<think>` before you think.",
        "A model may write:\n```\n<think>\nred?\n</think>\n```\nThat is all.",
        "Use `</think>` to end it.",
        "1 < 2 and <b>bold</b> [text](url) <thin> [th",
        "The tag <think> marks it.",
        "Yes.\n<think> is never closed here",
        "analysis of the boat: it is green. assistantfinal",
    ],
)
@pytest.mark.parametrize("size", [1, 100])
def test_tags_that_the_answer_is_about_stay_in_it(
    server: Loopback, attach: Attach, text: str, size: int
) -> None:
    server.on(CHAT, events(deltas(*chunks(text, size))))
    answered = read(attach(server.url).stream(ask()))
    assert (answered.text, answered.thinking) == (text, "")


def test_a_block_of_thinking_in_mid_answer_is_parted(server: Loopback, attach: Attach) -> None:
    text = "It is a boat.\n<think>which colour?</think>\nIt is green."
    server.on(CHAT, events(deltas(*chunks(text, 3))))
    answered = read(attach(server.url).stream(ask()))
    assert (answered.text, answered.thinking) == (
        "It is a boat.\n\nIt is green.",
        "which colour?",
    )


def test_an_answer_in_a_tag_of_its_own_is_unwrapped(server: Loopback, attach: Attach) -> None:
    text = "<think>red?</think>\n<answer>The boat is green.</answer>"
    server.on(CHAT, events(deltas(*chunks(text, 4))))
    assert read(attach(server.url).stream(ask())).text == "The boat is green."


@pytest.mark.parametrize("finish", ["length", "stop"])
def test_thinking_that_is_never_closed_is_no_answer(
    server: Loopback, attach: Attach, finish: str
) -> None:
    server.on(CHAT, events(deltas("<think>perhaps ", "red?", finish=finish)))
    answered = read(attach(server.url).stream(ask()))
    assert (answered.text, answered.thinking) == ("", "perhaps red?")
    assert answered.last.finish == finish


@pytest.mark.parametrize(
    "text",
    [
        '<think>a {"b"}?</think>{"a": true}',
        'maybe {"b": 1}?\n</think>\n{"a": true}',
        '\n{"a": true}',
        '{"a": true}<|im_end|>',
    ],
)
@pytest.mark.parametrize("size", [1, 100])
def test_json_is_free_of_thinking(server: Loopback, attach: Attach, text: str, size: int) -> None:
    server.on(CHAT, events(deltas(*chunks(text, size))))
    engine = attach(server.url)
    for _ in range(2):
        assert read(engine.stream(ask(schema=SCHEMA))).text.strip() == '{"a": true}'


def test_json_may_hold_tags_and_markers(server: Loopback, attach: Attach) -> None:
    text = '{"a": "<think>x</think> </think> <|im_end|> <tool_call>{} </s>"}'
    server.on(CHAT, events(deltas(*chunks(text, 3))))
    assert read(attach(server.url).stream(ask(schema=SCHEMA))).text == text


@pytest.mark.parametrize(
    ("thinking", "on", "effort"),
    [("off", False, "none"), ("low", True, "low"), ("high", True, "high")],
)
def test_less_thinking_is_asked_for_where_it_is_set(
    server: Loopback, attach: Attach, thinking: Any, on: bool, effort: str
) -> None:
    server.on(CHAT, events(deltas("Yes.")))
    engine = attach(server.url)
    read(engine.stream(ask()))
    read(engine.stream(ask(thinking=thinking)))
    default, asked = server.bodies(CHAT)
    assert not default.keys() & {"chat_template_kwargs", "reasoning_effort"}
    assert asked["chat_template_kwargs"]["enable_thinking"] is on
    assert asked["reasoning_effort"] == effort


def test_refused_ways_to_ask_for_less_thinking_are_left_out(
    server: Loopback, attach: Attach
) -> None:
    words = [
        "reasoning_effort='none' is not supported: use low, medium or high",
        "registry/toy does not support thinking",
        "chat_template_kwargs: Extra inputs are not permitted",
    ]
    refusals = [reply({"error": {"message": text}}, 400) for text in words]
    server.on(CHAT, *refusals, events(deltas("Yes.")))
    engine = attach(server.url)
    for _ in range(2):
        assert read(engine.stream(ask(thinking="off"))).text == "Yes."
    efforts = [body.get("reasoning_effort") for body in server.bodies(CHAT)]
    assert efforts == ["none", "low", None, None, None]
    assert ["chat_template_kwargs" in body for body in server.bodies(CHAT)] == [
        True, True, True, False, False,
    ]  # fmt: skip


def test_raw_thinking_in_one_piece_is_parted(server: Loopback, attach: Attach) -> None:
    body = '{"choices": [{"message": {"content": "<think>red?</think>Green."}}]}'
    server.on(CHAT, raw(body, content_type="application/json"))
    answered = read(attach(server.url).stream(ask()))
    assert (answered.text, answered.thinking) == ("Green.", "red?")
