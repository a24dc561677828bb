"""The vllm engine: answers as servers really send them, with parts missing, null or in error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memagent.engines.openai.errors import ReplyError
from memagent.engines.openai.events import answer_objects
from memagent.engines.openai.reply import reply_chunks
from memagent.errors import EngineError, ServerDownError
from memagent.types import Usage
from tests.engines.asking import Attach, ask, read
from tests.engines.loopback import Loopback, deltas, drop, events, raw, reply

CHAT = "POST /v1/chat/completions"


def choice(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, **fields}]}


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return choice(delta=fields, finish_reason=finish)


def data(value: object) -> str:
    return f"data: {json.dumps(value)}\n\n"


BOAT, GREEN = delta(content="The boat"), delta(content=" is green.")


@pytest.mark.parametrize(
    "odd",
    [
        {"choices": None},
        {"choices": []},
        {"choices": [None]},
        {},
        {"usage": None, "choices": []},
        {"error": None, "choices": []},
        {"type": "ping"},
        choice(delta=None, finish_reason=None),
        choice(),
        delta(content=None, role="assistant", tool_calls=None, reasoning_content=None),
        delta(content="", tool_calls=[], refusal=None),
        choice(delta={"content": ""}, logprobs={"content": None}),
    ],
)
def test_null_and_missing_parts_are_skipped(
    server: Loopback, attach: Attach, odd: dict[str, Any]
) -> None:
    server.on(CHAT, events([odd, BOAT, odd, GREEN, odd, *deltas(), odd]))
    answered = read(attach(server.url).stream(ask()))
    assert (answered.text, answered.last.finish) == ("The boat is green.", "stop")
    assert answered.last.usage == Usage(prompt=7, completion=0)


@pytest.mark.parametrize(
    "pieces",
    [
        ("data: null\n\n", ": ping\n\n", data(BOAT), "data:\n\n", data(GREEN), "data: [DONE]\n\n"),
        ("event: message\r\ndata:" + json.dumps(BOAT) + "\r\n\r", "\n" + data(GREEN)),
        (data(BOAT).replace("\n", "\r"), data(GREEN).replace("\n", "\r"), "data: [DONE]\r\r"),
        (data(BOAT)[:9], data(BOAT)[9:-1], "\n" + data(GREEN)[:-2]),
        (data(BOAT).replace("\n\n", "\n"), data(GREEN).replace("\n\n", "\n"), "data: [DONE]\n"),
        ("\ufeff" + data(BOAT), "id: 7\nretry: 10\n" + data(GREEN), "data:[DONE]"),
        ("\n\n", *(f"data: {line}\n" for line in json.dumps(BOAT, indent=1).splitlines()), "\n",
         data(GREEN)),
        (data([BOAT, GREEN]),),
        (data(BOAT), data(GREEN), "data: [DONE]\n\n", "data: {broken\n\n"),
    ],
)  # fmt: skip
def test_the_forms_of_an_event_stream(
    server: Loopback, attach: Attach, pieces: tuple[str, ...]
) -> None:
    server.on(CHAT, raw(*pieces))
    answered = read(attach(server.url).stream(ask()))
    assert (answered.text, answered.last.finish) == ("The boat is green.", "stop")


def test_a_text_may_hold_separators_that_are_no_ends_of_lines(
    server: Loopback, attach: Attach
) -> None:
    text = "a\u2028b\u0085c\x0bd"
    line = json.dumps(delta(content=text), ensure_ascii=False).replace("\\u000b", "\x0b")
    server.on(CHAT, raw(f"data: {line.replace(chr(11), '')}\n\n"))
    assert read(attach(server.url).stream(ask())).text == text.replace("\x0b", "")


def test_half_a_character_is_replaced(server: Loopback, attach: Attach) -> None:
    server.on(CHAT, raw('data: {"choices":[{"delta":{"content":"a\\ud83d \\ud83d\\ude00"}}]}\n\n'))
    assert read(attach(server.url).stream(ask())).text == "a\ufffd 😀"


BODY = {
    "choices": [{"message": {"content": "The boat is green."}, "finish_reason": "length"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 4},
}


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream", "text/plain"])
def test_an_answer_in_one_piece_is_read_as_it_is(
    server: Loopback, attach: Attach, kind: str
) -> None:
    server.on(CHAT, raw(json.dumps(BODY, indent=2), content_type=kind))
    answered = read(attach(server.url).stream(ask()))
    assert (answered.text, answered.last.finish) == ("The boat is green.", "length")
    assert answered.last.usage == Usage(5, 4)


def test_a_whole_message_in_a_stream_is_read_once(server: Loopback, attach: Attach) -> None:
    whole = choice(message={"content": "The boat is green."}, finish_reason="stop")
    server.on(CHAT, events([whole]), events([BOAT, GREEN, whole]))
    engine = attach(server.url)
    for _ in range(2):
        assert read(engine.stream(ask())).text == "The boat is green."


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ('data: {"error": {"message": "EngineCore died", "code": 500}}\n\n', "EngineCore died"),
        ('data: {"error": "out of memory"}\n\n', "out of memory"),
        ('data: {"object": "error", "message": "no slot"}\n\n', "no slot"),
        ('data: {"detail": "gone"}\n\n', "gone"),
        ('data: {"error": {"metadata": 1}}\n\n', "metadata"),
        ('event: error\ndata: {"text": "lost it"}\n\n', "lost it"),
        ('error: {"code": 500, "message": "slot lost"}\n\n', "slot lost"),
        ('{"error": {"message": "bare line"}}\n', "bare line"),
        ('data: [{"error": {"message": "in a list"}}]\n\n', "in a list"),
        ("data: upstream timed out\n\n", "upstream timed out"),
        ('data: {"choices": [{"delta"\n\n', "broken JSON"),
        ('data: {"choices": [{"delta"', "broken JSON"),
        ("data: " + "[" * 100_000 + "\n\n", "broken JSON"),
        ("data: 7\n\n", "7"),
        (data({"choices": "none"}), "unexpected choices"),
        (data({"choices": [7]}), "unexpected choices"),
        (data(choice(delta="text")), "unexpected delta"),
        (data(delta(content={"a": 1, "text": 2})), "unexpected content"),
        (data(delta(content=[3])), "unexpected content"),
        (data(delta(tool_calls="x")), "unexpected tool_calls"),
        (data(delta("error")), "finish reason: error"),
        (data(choice(error={"message": "provider down"})), "provider down"),
    ],
)
def test_an_error_in_mid_stream_comes_in_the_servers_words_after_the_text(
    server: Loopback, attach: Attach, bad: str, words: str
) -> None:
    server.on(CHAT, raw(data(BOAT), bad, "data: [DONE]\n\n"))
    stream = attach(server.url).stream(ask())
    assert next(stream).text == "The boat"
    with pytest.raises(EngineError, match=words) as caught:
        next(stream)
    assert not isinstance(caught.value, ServerDownError)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"error": {"message": "no model is loaded"}}', "no model is loaded"),
        ('{"detail": [{"loc": ["body", "n"], "msg": "too large"}]}', "body.n: too large"),
        ('[{"error": {"message": "quota"}}]', "quota"),
        ("<!DOCTYPE html><html><title>Log in</title><p>x", "a web page: Log in"),
        ("<html><body>Be <b>back</b> soon", "a web page: Be back soon"),
        ("Ollama is running", "Ollama is running"),
        ('{"choices": [', "broken JSON"),
        (
            'event: error\ndata: {"error": {"message": "the context window is full"}}\n\n',
            "--budget",
        ),
    ],
)
def test_a_body_that_is_no_answer_is_an_error_in_the_servers_words(
    server: Loopback, attach: Attach, body: str, words: str
) -> None:
    server.on(CHAT, raw(body, content_type="text/plain"))
    with pytest.raises(EngineError) as caught:
        read(attach(server.url).stream(ask()))
    assert words in str(caught.value)


@pytest.mark.parametrize("last", ["data: [DONE]\n\n", ""])
def test_the_end_of_the_stream_is_the_end_of_the_answer(
    server: Loopback, attach: Attach, last: str
) -> None:
    server.on(CHAT, raw(data(BOAT), data(GREEN), last or ": end\n\n"), raw(last or ": end\n\n"))
    engine = attach(server.url)
    full, empty = read(engine.stream(ask())), read(engine.stream(ask()))
    assert (full.text, full.last.finish) == ("The boat is green.", "stop")
    assert (empty.text, empty.last.finish) == ("", "stop")


def test_a_connection_that_breaks_after_the_finish_reason_loses_nothing(
    server: Loopback, attach: Attach
) -> None:
    server.on(CHAT, drop([BOAT, delta("length")]))
    answered = read(attach(server.url).stream(ask()))
    assert (answered.text, answered.last.finish) == ("The boat", "length")


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("stop", "stop"), ("eos", "stop"), ("tool_calls", "stop"), ("length", "length"),
        ("max_tokens", "length"), ("MAX_TOKENS", "length"), ("content_filter", "refused"),
        ("SAFETY", "refused"),
    ],
)  # fmt: skip
def test_finish_reasons(server: Loopback, attach: Attach, reason: str, finish: str) -> None:
    server.on(CHAT, events([BOAT, delta(reason)]))
    assert read(attach(server.url).stream(ask())).last.finish == finish


def test_a_refusal_is_text_that_ends_as_refused(server: Loopback, attach: Attach) -> None:
    server.on(CHAT, events([delta(refusal="I can't "), delta(refusal="help."), delta("stop")]))
    answered = read(attach(server.url).stream(ask()))
    assert (answered.text, answered.last.finish) == ("I can't help.", "refused")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["choices", "delta", "message", "content", "text", "tool_calls", "function", "index",
             "id", "name", "arguments", "usage", "prompt_tokens", "finish_reason", "logprobs",
             "top_logprobs", "logprob", "error", "detail", "refusal", "reasoning", "type"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.builds(lambda inner: {"choices": [{"delta": inner}]}, JSON) | JSON, max_size=3))
def test_no_chunk_raises_anything_but_a_reply_error(values: list[Any]) -> None:
    body = "".join(data(value) for value in values).encode()
    try:
        chunks = list(reply_chunks(answer_objects([body])))
    except ReplyError as error:
        assert "\n" not in error.words
    else:
        assert chunks[-1].finish is not None


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60), st.integers(1, 7))
def test_no_bytes_raise_anything_but_a_reply_error(body: bytes, size: int) -> None:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    try:
        list(reply_chunks(answer_objects(pieces)))
    except ReplyError:
        return


def test_a_reply_that_is_a_refusal_of_another_kind_is_told_once(
    server: Loopback, attach: Attach
) -> None:
    server.on(CHAT, reply({"error": {"message": "no"}}, 200))
    with pytest.raises(EngineError, match="no"):
        read(attach(server.url).stream(ask()))
    assert len(server.bodies(CHAT)) == 1
