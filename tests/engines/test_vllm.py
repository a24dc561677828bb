"""The vllm engine: its requests and how it parses the replies."""

from __future__ import annotations

import math

import pytest

from memagent.engines.openai.engine import VllmEngine
from memagent.engines.openai.server import server_root
from memagent.engines.openai.tokens import estimated_tokens
from memagent.engines.openai.wire import plain_prompt
from memagent.errors import EngineError, UsageError
from memagent.types import Message
from tests.engines.asking import NO_TEMPLATE, Attach
from tests.engines.loopback import Loopback, reply

PLAIN = "POST /v1/completions"


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000"),
        (" https://host/prefix/v1 ", "https://host/prefix"),
        ("http://[::1]:8000/v1", "http://[::1]:8000"),
    ],
)
def test_url_is_taken_with_and_without_v1(url: str, root: str) -> None:
    assert server_root(url) == root


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://host", "http://", "http://h:port", "http://u:p@host"]
)
def test_an_invalid_server_url_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError, match="URL"):
        VllmEngine(url)


def test_nothing_is_sent_before_connect(server: Loopback, attach: Attach) -> None:
    attach(server.url)
    assert server.seen == []


def test_connect_takes_model_and_context_from_the_server(server: Loopback, attach: Attach) -> None:
    engine = attach(server.url + "/v1", api_key="secret").connect()
    assert (engine.model, engine.context) == ("toy", 256)
    assert not engine.capabilities.prompt_logprobs
    assert server.seen[0].authorization == "Bearer secret"


def test_context_setting_is_kept_below_the_servers(server: Loopback, attach: Attach) -> None:
    assert attach(server.url, context=100).connect().context == 100
    assert attach(server.url, context=1000).connect().context == 256


def test_context_of_llama_cpp_comes_from_its_props(attach: Attach) -> None:
    with Loopback() as server:
        server.on("GET /props", reply({"default_generation_settings": {"n_ctx": 1536}}))
        assert attach(server.url).connect().context == 1536


def test_context_of_a_server_that_says_nothing_is_4096_or_the_setting(attach: Attach) -> None:
    with Loopback() as server:
        assert attach(server.url).connect().context == 4096
        assert attach(server.url, context=9000).connect().context == 9000


def test_vllm_is_known_by_its_version_page(server: Loopback, attach: Attach) -> None:
    server.on("GET /version", reply({"version": "0.32.0"}))
    capabilities = attach(server.url).connect().capabilities
    assert capabilities.prompt_logprobs
    assert capabilities.structured


def test_a_model_that_is_not_served_is_named_with_those_that_are(
    server: Loopback, attach: Attach
) -> None:
    with pytest.raises(EngineError, match=r"does not serve 'other': choose one of toy"):
        attach(server.url, model="other").connect()


def test_a_server_without_models_is_an_engine_error(server: Loopback, attach: Attach) -> None:
    server.on("GET /v1/models", reply({"object": "list", "data": []}))
    with pytest.raises(EngineError, match="lists no model"):
        attach(server.url).connect()


@pytest.mark.parametrize("kind", ["text/html", "application/json"])
def test_a_server_of_another_kind_is_an_engine_error(
    server: Loopback, kind: str, attach: Attach
) -> None:
    server.on("GET /v1/models", reply("<html>", 200, kind))
    with pytest.raises(EngineError, match="lists no model"):
        attach(server.url).connect()


def test_broken_json_is_an_engine_error(server: Loopback, attach: Attach) -> None:
    broken = reply('{"data": [', 200, "application/problem+json")
    server.on("GET /v1/models", broken)
    with pytest.raises(EngineError, match=r"not JSON"):
        attach(server.url).connect()


def test_count_asks_the_server_once_for_each_text(attach: Attach) -> None:
    with Loopback() as server:
        server.on("POST /tokenize", reply({"tokens": [5, 6, 7]}))
        engine = attach(server.url)
        assert [engine.count("two words"), engine.count("two words")] == [3, 3]
        assert server.bodies("POST /tokenize") == [{"content": "two words"}]


@pytest.mark.parametrize("status", [200, 404, 501])
def test_count_without_a_tokenizer_is_an_estimate_asked_for_once(
    status: int, attach: Attach
) -> None:
    with Loopback() as server:
        server.on("POST /tokenize", reply({"error": "Unexpected endpoint"}, status))
        engine = attach(server.url)
        assert engine.count("three short words") == estimated_tokens("three short words")
        engine.count("another text")
        assert len(server.bodies("POST /tokenize")) == 1


def test_count_with_a_server_that_fails_is_an_error_and_no_estimate(
    server: Loopback, attach: Attach
) -> None:
    server.on("POST /tokenize", reply({"error": {"message": "boom"}}, 500))
    with pytest.raises(EngineError, match="500: boom"):
        attach(server.url).count("text")


def test_estimate_is_on_the_safe_side_for_words_and_for_scripts_without_spaces() -> None:
    assert estimated_tokens("") == 0
    assert estimated_tokens("a b c d") == 6
    assert estimated_tokens("supercalifragilistic") == math.ceil(20 / 3)
    assert estimated_tokens("記憶は消えない") == 7


def test_prompt_of_a_model_without_template_is_counted_as_plain_text(
    server: Loopback, attach: Attach
) -> None:
    server.on("GET /version", reply({"version": "0.32.0"}))
    server.on("POST /tokenize", reply(NO_TEMPLATE, 400), reply({"count": 9, "tokens": [1] * 9}))
    messages = (Message("user", "Where?"),)
    assert attach(server.url).count_prompt(messages) == 9 + 1
    assert server.bodies("POST /tokenize")[1]["prompt"] == plain_prompt(messages)


def test_logprobs_off_vllm_are_not_implemented(server: Loopback, attach: Attach) -> None:
    with pytest.raises(NotImplementedError):
        attach(server.url).logprobs([1, 2])


def test_logprobs_missing_from_the_answer_are_an_engine_error(
    server: Loopback, attach: Attach
) -> None:
    server.on("GET /version", reply({"version": "0.32.0"}))
    server.on(PLAIN, reply({"choices": [{"text": ""}]}))
    with pytest.raises(EngineError, match="without prompt log-probabilities"):
        attach(server.url).logprobs([1, 2])
