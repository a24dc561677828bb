"""The vllm engine when the server is down, slow, breaks off or refuses."""

from __future__ import annotations

import re
import signal
import socket
import threading
import time
from collections.abc import Iterable
from typing import Any

import pytest

from memagent.engines.openai.engine import VllmEngine
from memagent.engines.openai.retry import TRIES
from memagent.errors import EngineError, ServerDownError
from memagent.types import Chunk, Request
from tests.engines.asking import Attach, ask
from tests.engines.loopback import Loopback, cut, deltas, drop, events, reply, silence

CHAT = "POST /v1/chat/completions"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def text_of(chunks: Iterable[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def fails(engine: VllmEngine, request: Request | None = None, *, down: bool = False) -> str:
    with pytest.raises(EngineError) as caught:
        list(engine.stream(request or ask()))
    assert isinstance(caught.value, ServerDownError) == down
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_no_server_names_the_address_and_the_cure(attach: Attach) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    message = fails(attach(url), down=True)
    assert message == (
        f"no server answers at {url}: start it, or choose another with --url or MEMAGENT_URL"
    )


def test_unknown_host_says_that_nobody_answers(attach: Attach) -> None:
    message = fails(attach("http://server.invalid"), down=True)
    assert "no server answers at http://server.invalid" in message


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
    with pytest.raises(EngineError, match=words) as caught:
        next(stream)
    assert isinstance(caught.value, ServerDownError) == ("went away" in words)


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
def test_requests_to_busy_and_failing_servers_are_retried_then_fail(
    server: Loopback, status: int, attach: Attach
) -> None:
    server.on(CHAT, reply({"error": {"message": "over\nload"}}, status, retry_after="0"))
    assert f"{status}: over load" in fails(attach(server.url))
    assert len(server.bodies(CHAT)) == TRIES


def test_a_server_that_recovers_answers_without_an_error(server: Loopback, attach: Attach) -> None:
    server.on(CHAT, reply({"error": {"message": "warming"}}, 503), events(deltas("Ready.")))
    assert text_of(list(attach(server.url).stream(ask()))) == "Ready."


def test_a_server_is_not_asked_before_the_time_it_names(server: Loopback, attach: Attach) -> None:
    busy = reply({"error": {"message": "busy"}}, 429, retry_after="1")
    server.on(CHAT, busy, events(deltas("Ready.")))
    before = time.monotonic()
    assert text_of(list(attach(server.url).stream(ask()))) == "Ready."
    assert time.monotonic() - before >= 1


@pytest.mark.parametrize("wanted", ["3600", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_a_retry_after_beyond_the_limit_fails_at_once(
    server: Loopback, attach: Attach, wanted: str
) -> None:
    server.on(CHAT, reply({"error": {"message": "busy"}}, 429, retry_after=wanted))
    assert re.search(r"429: busy\): ask again in \d+ s", fails(attach(server.url)))
    assert len(server.bodies(CHAT)) == 1


@pytest.mark.parametrize("wanted", ["soon", "-3", ""])
def test_a_wait_that_cannot_be_read_is_ours(server: Loopback, attach: Attach, wanted: str) -> None:
    busy = reply({"error": {"message": "busy"}}, 503, retry_after=wanted)
    server.on(CHAT, busy, events(deltas("Ready.")))
    assert text_of(list(attach(server.url).stream(ask()))) == "Ready."


def test_an_interrupt_ends_the_wait(server: Loopback, attach: Attach) -> None:
    server.on(CHAT, reply({"error": {"message": "busy"}}, 503, retry_after="25"))
    engine = attach(server.url).connect()
    main = threading.main_thread().ident
    assert main is not None
    threading.Timer(0.5, signal.pthread_kill, (main, signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        list(engine.stream(ask()))
    assert len(server.bodies(CHAT)) == 1


def test_a_connection_closed_before_the_answer_is_reopened_once(
    server: Loopback, attach: Attach
) -> None:
    server.on(CHAT, cut, events(deltas("Ready.")))
    engine = attach(server.url).connect()
    assert text_of(list(engine.stream(ask()))) == "Ready."
    server.on(CHAT, cut)
    with pytest.raises(ServerDownError, match="went away"):
        list(engine.stream(ask()))
    assert len(server.bodies(CHAT)) == 4


def test_a_server_that_never_answered_is_asked_once(server: Loopback, attach: Attach) -> None:
    server.on("GET /v1/models", cut)
    with pytest.raises(ServerDownError):
        attach(server.url).connect()
    assert len(server.seen) == 1


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
