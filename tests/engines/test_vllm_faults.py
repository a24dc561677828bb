"""The engine behind a URL when the server is down, slow, breaks off or refuses."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

import pytest

from memagent.core import Chunk, Request
from memagent.engines.vllm import VllmEngine
from memagent.errors import EngineError
from tests.engines.asking import Attach, ask
from tests.engines.loopback import Loopback, deltas, drop, events, reply, silence

CHAT = "POST /v1/chat/completions"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def text_of(chunks: Iterable[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def fails(engine: VllmEngine, request: Request | None = None) -> str:
    with pytest.raises(EngineError) as caught:
        list(engine.stream(request or ask()))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_no_server_names_the_address_and_the_cure(attach: Attach) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    message = fails(attach(url))
    assert message == (
        f"no server answers at {url}: start it, or choose another with --url or MEMAGENT_URL"
    )


def test_unknown_host_says_that_nobody_answers(attach: Attach) -> None:
    assert "no server answers at http://server.invalid" in fails(attach("http://server.invalid"))


def test_silence_before_the_answer_is_a_timeout_asked_once(
    server: Loopback, attach: Attach
) -> None:
    server.on(CHAT, silence())
    message = fails(attach(server.url, timeout=0.2))
    assert "gave no token for 0.2 s" in message
    assert "MEMAGENT_TIMEOUT" in message
    assert len(server.bodies(CHAT)) == 1


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (drop(deltas("In ", "the ", finish=None)), "went away in mid-answer"),
        (events(deltas("In ", "the ", finish=None), done=False), "went away in mid-answer"),
        (silence(deltas("In ", "the ", finish=None)), "gave no token for 0.5 s"),
        (
            events([*deltas("In ", "the ", finish=None), {"error": {"message": "EngineDead"}}]),
            r"failed in mid-answer \(EngineDead\)",
        ),
    ],
)
def test_chunks_before_a_break_stay_with_the_caller(
    server: Loopback, broken: Any, words: str, attach: Attach
) -> None:
    server.on(CHAT, broken)
    stream = attach(server.url, timeout=0.5).stream(ask())
    assert [next(stream).text, next(stream).text] == ["In ", "the "]
    with pytest.raises(EngineError, match=words):
        next(stream)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, {"error": "Unauthorized"}, "refuses the key (401): set MEMAGENT_API_KEY"),
        (403, {"error": "no"}, "refuses the key (403)"),
        (404, {"error": {"message": "The model `toy` does not exist."}}, "--model"),
        (
            400,
            {
                "error": {
                    "message": "This model's maximum context length is 256 tokens. However, your "
                    "prompt contains 300 input tokens."
                }
            },
            "--max-model-len",
        ),
        (
            400,
            {
                "error": {
                    "message": "the request exceeds the available context size (512 tokens)",
                    "type": "exceed_context_size_error",
                }
            },
            "lower --budget",
        ),
        (400, {"error": {"message": "seed must be positive"}}, "(400: seed must be positive)"),
    ],
)
def test_refusals_name_the_reason_and_the_cure(
    server: Loopback, status: int, body: dict[str, Any], words: str, attach: Attach
) -> None:
    server.on(CHAT, reply(body, status))
    message = fails(attach(server.url))
    assert server.url in message
    assert words in message
    assert len(server.bodies(CHAT)) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_busy_and_failing_servers_are_asked_three_times(
    server: Loopback, status: int, attach: Attach
) -> None:
    server.on(CHAT, reply({"error": {"message": "over\nload"}}, status))
    assert f"{status}: over load" in fails(attach(server.url))
    assert len(server.bodies(CHAT)) == 3


def test_a_server_that_recovers_answers_without_an_error(server: Loopback, attach: Attach) -> None:
    server.on(CHAT, reply({"error": {"message": "warming"}}, 503), events(deltas("Ready.")))
    assert text_of(list(attach(server.url).stream(ask()))) == "Ready."


def test_proxy_variables_do_not_apply_to_this_machine(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, attach: Attach
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert attach(server.url).connect().model == "toy"


def test_proxy_variables_apply_to_other_machines(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, attach: Attach
) -> None:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, server.url)
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert attach("http://model.example:8000").connect().model == "toy"
    assert server.seen[0].target == "http://model.example:8000/v1/models"


def test_close_can_be_repeated_and_the_engine_used_again(server: Loopback, attach: Attach) -> None:
    server.on(CHAT, events(deltas("Yes.")))
    engine = attach(server.url)
    list(engine.stream(ask()))
    engine.close()
    engine.close()
    assert text_of(list(engine.stream(ask()))) == "Yes."
