"""The vllm engine: refused parts of a request are learned once, and models are found by name."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from memagent.errors import EngineError, UsageError
from memagent.types import Message, Request, ToolCall
from tests.engines.asking import SEARCH, Attach, ask, read
from tests.engines.loopback import Loopback, deltas, events, reply

CHAT = "POST /v1/chat/completions"
GREEN = events(deltas("Green."))
EXTRA = {"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}
TALK = (
    Message("system", "Be brief."),
    Message("user", "Which boat?"),
    Message("assistant", "", tool_calls=(ToolCall("a", "search_memory", {"query": "boat"}),)),
    Message("tool", "The boat is green.", tool_call_id="a"),
)


def refusal(words: str, status: int = 400, **error: str) -> Any:
    return reply({"error": {"message": words, **error}}, status)


@pytest.mark.parametrize(
    ("part", "answer"),
    [
        ("stream_options", refusal("Unknown parameter: stream_options")),
        ("stream_options", refusal("Bad request", param="stream_options")),
        ("stream_options", reply({"detail": [EXTRA]}, 422)),
        ("stream_options", reply({"error": "stream_options is not known"}, 200)),
        ("seed", refusal("seed is not supported", 501)),
        ("temperature", refusal("'temperature' does not support 0.0 with this model.")),
        ("tools", refusal("toy does not support tools", 500)),
    ],
)  # fmt: skip
def test_a_part_that_is_refused_is_left_out_from_then_on(
    server: Loopback, attach: Attach, part: str, answer: Any
) -> None:
    server.on(CHAT, answer, GREEN)
    engine = attach(server.url)
    for _ in range(2):
        assert read(engine.stream(ask(seed=1, tools=(SEARCH,)))).text == "Green."
    assert [part in body for body in server.bodies(CHAT)] == [True, False, False]
    kept = {"model", "messages", "stream", "stream_options", "max_tokens", "temperature", "seed",
            "tools"}  # fmt: skip
    assert server.bodies(CHAT)[1].keys() == kept - {part}


def test_several_refusals_are_learned_one_after_the_other(server: Loopback, attach: Attach) -> None:
    words = ["stream_options: extra", "System role not supported", "use max_completion_tokens"]
    server.on(CHAT, *map(refusal, words), GREEN)
    engine = attach(server.url)
    for _ in range(2):
        assert read(engine.stream(Request(TALK[:2], ""))).text == "Green."
    *_, last = server.bodies(CHAT)
    assert len(server.bodies(CHAT)) == 5
    assert "max_tokens" not in last
    assert last["max_completion_tokens"] == 512
    assert last["messages"] == [{"role": "user", "content": "Be brief.\n\nWhich boat?"}]


def test_refusals_learned_by_threads_at_once_are_all_kept(attach: Attach) -> None:
    def answer(exchange: Any) -> None:
        body = exchange.body
        part = next((name for name in ("seed", "stream_options") if name in body), None)
        (refusal(f"no {part}") if part else GREEN)(exchange)

    with Loopback() as server, ThreadPoolExecutor(8) as pool:
        server.on(CHAT, answer)
        engine = attach(server.url).connect()
        answers = list(pool.map(lambda n: read(engine.stream(ask(seed=n))).text, range(16)))
    assert answers == ["Green."] * 16


def test_a_server_that_cannot_stream_is_asked_without(server: Loopback, attach: Attach) -> None:
    whole = {"choices": [{"message": {"content": "Green."}, "finish_reason": "stop"}]}
    server.on(CHAT, refusal("Streaming is not supported"), reply(whole))
    assert read(attach(server.url).stream(ask())).text == "Green."
    assert not server.bodies(CHAT)[1].keys() & {"stream", "stream_options"}


@pytest.mark.parametrize(
    "words",
    [
        "System role not supported",
        "Conversation roles must alternate user/assistant/user/assistant/...",
        "Only user and assistant roles are supported!",
        "Developer instruction is not enabled for models/gemma-3-1b-it",
        "messages.0.role: Input should be 'user' or 'assistant'",
    ],
)
def test_roles_that_a_template_lacks_become_text_of_the_user(
    server: Loopback, attach: Attach, words: str
) -> None:
    server.on(CHAT, refusal(words), GREEN)
    engine = attach(server.url)
    for _ in range(2):
        assert read(engine.stream(Request(TALK, ""))).text == "Green."
    assert [len(body["messages"]) for body in server.bodies(CHAT)] == [4, 3, 3]
    sent = server.bodies(CHAT)[1]["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]
    assert sent[0]["content"] == "Be brief.\n\nWhich boat?"
    assert 'search_memory with {"query": "boat"}' in sent[1]["content"]
    assert "The boat is green." in sent[2]["content"]
    assert not any(message.keys() - {"role", "content"} for message in sent)


def test_a_failure_that_only_mentions_a_part_is_no_refusal_of_it(
    server: Loopback, attach: Attach
) -> None:
    lost = reply({"error": {"message": "the stream was lost"}}, 500, retry_after="0")
    server.on(CHAT, lost, GREEN)
    assert read(attach(server.url).stream(ask())).text == "Green."
    assert server.bodies(CHAT)[1]["stream"] is True


def test_half_of_a_surrogate_pair_in_a_prompt_is_sent(server: Loopback, attach: Attach) -> None:
    server.on(CHAT, GREEN)
    engine = attach(server.url)
    assert read(engine.stream(ask("a\udc80b"))).text == "Green."
    assert engine.count("a\udc80b") > 0


def test_a_prompt_that_is_too_long_is_no_refusal_of_a_part(
    server: Loopback, attach: Attach
) -> None:
    server.on(CHAT, refusal("max_tokens is too large: the context length is 256; stream_options"))
    with pytest.raises(EngineError, match="--budget"):
        read(attach(server.url).stream(ask()))
    assert len(server.bodies(CHAT)) == 1


@pytest.mark.parametrize("status", [400, 404, 405, 500, 501])
def test_a_named_model_needs_no_list_of_models(
    server: Loopback, attach: Attach, status: int
) -> None:
    server.on("GET /v1/models", reply("nothing here", status, "text/plain", retry_after="0"))
    server.on(CHAT, GREEN)
    assert read(attach(server.url, model="toy").stream(ask())).text == "Green."
    assert server.bodies(CHAT)[0]["model"] == "toy"
    with pytest.raises(EngineError, match=r"no list of models .* --model"):
        attach(server.url).connect()


def test_a_web_page_for_a_list_of_models_is_no_list(server: Loopback, attach: Attach) -> None:
    server.on("GET /v1/models", reply("<html>", 200, "text/html"))
    assert attach(server.url, model="toy").connect().model == "toy"


@pytest.mark.parametrize(
    ("wanted", "listed"),
    [
        ("llama3", "llama3:latest"), ("llama3:latest", "llama3"), ("Llama3:Latest", "llama3"),
        ("llama3:8b", "llama3:8b"),
    ],
)  # fmt: skip
def test_names_are_found_with_and_without_their_tag(
    server: Loopback, attach: Attach, wanted: str, listed: str
) -> None:
    server.on("GET /v1/models", reply({"data": [{"id": "other"}, {"id": listed}]}))
    assert attach(server.url, model=wanted).connect().model == listed
    with pytest.raises(EngineError, match=f"choose one of other, {listed}"):
        attach(server.url, model="llama").connect()


def test_a_name_that_is_not_listed_is_looked_up(server: Loopback, attach: Attach) -> None:
    server.on("GET /v1/models/org/alias", reply({"id": "org/alias", "object": "model"}))
    assert attach(server.url, model="org/alias").connect().model == "org/alias"


def test_models_that_do_not_chat_are_passed_over(server: Loopback, attach: Attach) -> None:
    names = ["nomic-embed-text", "text-embedding-3-small", "BAAI/bge-m3", "intfloat/e5-base",
             "jina-reranker", "whisper-1"]  # fmt: skip
    others: list[Any] = [{"id": name} for name in names]
    server.on("GET /v1/models", reply({"data": [*others, {"id": "age5-large"}]}))
    assert attach(server.url).connect().model == "age5-large"
    assert attach(server.url, model="BAAI/bge-m3").connect().model == "BAAI/bge-m3"
    server.on("GET /v1/models", reply(others))
    with pytest.raises(EngineError, match="do not chat"):
        attach(server.url).connect()


@pytest.mark.parametrize(
    "entry", [{"context_length": 512}, {"max_model_len": None, "context_window": 512}]
)
def test_the_context_is_read_under_the_names_that_servers_give_it(
    server: Loopback, attach: Attach, entry: dict[str, Any]
) -> None:
    server.on("GET /v1/models", reply([{"id": "toy", **entry}]))
    assert attach(server.url).connect().context == 512


@pytest.mark.parametrize("route", ["GET /v1/models", CHAT])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(
    server: Loopback, attach: Attach, route: str, status: int
) -> None:
    with Loopback() as other:
        target = f"{other.url}/v1/chat/completions"
        server.on(route, reply("moved", status, "text/plain", location=target))
        with pytest.raises(EngineError) as caught:
            read(attach(server.url, api_key="secret", model="toy").stream(ask()))
        assert other.seen == []
    assert f"redirects to {target}" in str(caught.value)


def test_variables_of_openai_have_no_effect(
    server: Loopback, attach: Attach, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("API_KEY", "ORG_ID", "ORGANIZATION", "PROJECT_ID", "BASE_URL", "ADMIN_KEY"):
        monkeypatch.setenv(f"OPENAI_{name}", "http://leak.invalid/leak")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Leak: leak")
    server.on(CHAT, GREEN)
    read(attach(server.url).stream(ask()))
    assert server.seen
    for seen in server.seen:
        assert seen.authorization is None
        assert not [name for name in seen.headers if name.startswith(("openai-", "x-"))]


def test_a_missing_key_is_told_apart_from_a_wrong_one(server: Loopback, attach: Attach) -> None:
    server.on("GET /v1/models", reply({"error": "Unauthorized"}, 401))
    with pytest.raises(EngineError, match=r"asks for a key \(401\): set MEMAGENT_API_KEY"):
        attach(server.url).connect()
    with pytest.raises(EngineError, match=r"refuses the key \(401\)"):
        attach(server.url, api_key="secret").connect()
    with pytest.raises(UsageError, match="MEMAGENT_API_KEY"):
        attach(server.url, api_key="schlüssel")
    assert attach(server.url, api_key=" secret\n")._server.api_key == "secret"


@pytest.mark.parametrize("wait", [{"retry_after": "0.2"}, {"retry_after_ms": "200"}])
def test_fractions_of_seconds_are_waited_for(
    server: Loopback, attach: Attach, wait: dict[str, str]
) -> None:
    import time

    server.on(CHAT, reply({"error": {"message": "slow down"}}, 429, **wait), GREEN)
    engine = attach(server.url).connect()
    began = time.monotonic()
    assert read(engine.stream(ask())).text == "Green."
    assert time.monotonic() - began >= 0.2
