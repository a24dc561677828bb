"""The vllm engine: schemas and uncertainty as they are sent, refused and read back."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from memagent.engines.openai.uncertainty import TOP, entropy
from memagent.errors import EngineError
from tests.engines.asking import NO_TEMPLATE, Attach, ask
from tests.engines.loopback import Loopback, deltas, events, reply

CHAT = "POST /v1/chat/completions"
PLAIN = "POST /v1/completions"
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "boolean"}}}
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "recall", "parameters": {}}}
NAMED = {
    "type": "json_schema",
    "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
}
BOUNDED = {
    "type": "structural_tag",
    "format": {"type": "json_schema", "json_schema": SCHEMA, "max_whitespace_cnt": 1},
}


def refusal(words: str, status: int = 400) -> Any:
    return reply({"error": {"message": words}}, status)


@pytest.fixture
def vllm(server: Loopback) -> Loopback:
    """The server, saying that it is vLLM."""
    server.on("GET /version", reply({"version": "0.32.0"}))
    return server


def formats(server: Loopback, route: str = CHAT) -> list[Any]:
    return [body.get("response_format") for body in server.bodies(route)]


def test_a_schema_is_sent_without_tools(server: Loopback, attach: Attach) -> None:
    server.on(CHAT, events(deltas('{"a":true}')))
    engine = attach(server.url).connect()
    assert engine.capabilities.structured
    list(engine.stream(ask(schema=SCHEMA, tools=(TOOL,))))
    list(engine.stream(ask(tools=(TOOL,))))
    assert formats(server) == [NAMED, None]
    assert ["tools" in body for body in server.bodies(CHAT)] == [False, True]


def test_vllm_bounds_the_white_space_too_where_it_can(vllm: Loopback, attach: Attach) -> None:
    vllm.on(CHAT, refusal("unknown structural_tag"), events(deltas("{}")))
    engine = attach(vllm.url)
    for _ in range(2):
        list(engine.stream(ask(schema=SCHEMA)))
    assert formats(vllm) == [BOUNDED, NAMED, NAMED]
    assert engine.capabilities.structured


@pytest.mark.parametrize("status", [400, 500])
def test_a_refused_schema_is_left_out_from_then_on(
    server: Loopback, attach: Attach, status: int
) -> None:
    words = "'response_format.type' must be 'text'"
    server.on(CHAT, refusal(words, status), events(deltas("Yes.")))
    engine = attach(server.url)
    for _ in range(2):
        list(engine.stream(ask(schema=SCHEMA, tools=(TOOL,))))
    assert formats(server) == [NAMED, None, None]
    assert not engine.capabilities.structured
    assert engine.capabilities.tools


def test_a_server_that_knows_objects_alone_gets_the_schema_with_one(
    server: Loopback, attach: Attach
) -> None:
    words = "response_format.type: Input should be 'text' or 'json_object'"
    server.on(CHAT, refusal(words), refusal(words), events(deltas("{}")))
    engine = attach(server.url)
    list(engine.stream(ask(schema=SCHEMA)))
    assert formats(server) == [NAMED, {"type": "json_object", "schema": SCHEMA}, None]


def test_other_refusals_of_a_request_with_a_schema_are_told(
    server: Loopback, attach: Attach
) -> None:
    server.on(CHAT, refusal("seed must be positive"))
    engine = attach(server.url)
    with pytest.raises(EngineError, match="seed must be positive"):
        list(engine.stream(ask(schema=SCHEMA)))
    assert engine.capabilities.structured


def test_a_plain_prompt_carries_the_schema_and_nothing_that_could_cut_it(
    vllm: Loopback, attach: Attach
) -> None:
    vllm.on(CHAT, reply(NO_TEMPLATE, 400))
    vllm.on(PLAIN, events([{"choices": [{"index": 0, "text": "{}", "finish_reason": "stop"}]}]))
    engine = attach(vllm.url)
    list(engine.stream(ask(schema=SCHEMA)))
    list(engine.stream(ask()))
    assert formats(vllm, PLAIN) == [BOUNDED, None]
    assert ["stop" in body for body in vllm.bodies(PLAIN)] == [False, True]


def test_raw_control_characters_in_the_strings_of_an_answer_are_escaped(
    vllm: Loopback, attach: Attach
) -> None:
    pieces = ("{\n\t", '"a\tb', '": "c\x00', "\\", '"\x1f\n', '"\r}')
    vllm.on(CHAT, events(deltas(*pieces)))
    engine = attach(vllm.url)
    bound = "".join(chunk.text for chunk in engine.stream(ask(schema=SCHEMA)))
    assert json.loads(bound) == {"a\tb": 'c\x00"\x1f\n'}
    free = "".join(chunk.text for chunk in engine.stream(ask()))
    assert free == "".join(pieces)


def chat_logprobs(text: str, *logprobs: float) -> dict[str, Any]:
    top = [{"token": str(n), "logprob": value, "bytes": []} for n, value in enumerate(logprobs)]
    content = [{"token": text, "logprob": logprobs[0], "bytes": [], "top_logprobs": top}]
    delta = {"index": 0, "delta": {"content": text}, "logprobs": {"content": content}}
    return {"choices": [delta]}


def test_uncertainty_is_that_of_the_first_token_though_its_text_comes_later(
    vllm: Loopback, attach: Attach
) -> None:
    half = math.log(0.5)
    parts = [chat_logprobs("", half, half), chat_logprobs("é", -0.01), chat_logprobs("n", -0.02)]
    vllm.on(CHAT, events([*parts, *deltas()]))
    engine = attach(vllm.url).connect()
    assert engine.capabilities.uncertainty
    chunks = list(engine.stream(ask(uncertainty=True)))
    assert [chunk.text for chunk in chunks] == ["é", "n", ""]
    assert chunks[0].uncertainty == pytest.approx(math.log(2))
    assert [chunk.uncertainty for chunk in chunks[1:]] == [None, None]
    sent = vllm.bodies(CHAT)[0]
    assert (sent["logprobs"], sent["top_logprobs"]) == (True, TOP)


def test_uncertainty_is_asked_for_only_where_it_is_wanted(vllm: Loopback, attach: Attach) -> None:
    vllm.on(CHAT, events(deltas("Yes.")))
    list(attach(vllm.url).stream(ask()))
    assert "logprobs" not in vllm.bodies(CHAT)[0]


def test_uncertainty_of_a_plain_prompt_tells_tokens_of_one_text_apart(
    vllm: Loopback, attach: Attach
) -> None:
    vllm.on(CHAT, reply(NO_TEMPLATE, 400))
    top = {"token_id:1": math.log(0.25), "token_id:2": math.log(0.25)}
    logprobs = {"tokens": ["a"], "token_logprobs": [-1.0], "top_logprobs": [top]}
    part = {"index": 0, "text": "a", "finish_reason": "stop", "logprobs": logprobs}
    vllm.on(PLAIN, events([{"choices": [part]}]))
    first = next(iter(attach(vllm.url).stream(ask(uncertainty=True))))
    # The half that is not listed counts as one outcome.
    assert first.uncertainty == pytest.approx(1.5 * math.log(2))
    sent = vllm.bodies(PLAIN)[0]
    assert (sent["logprobs"], sent["return_tokens_as_token_ids"]) == (TOP, True)


def test_refused_logprobs_are_left_out_from_then_on(vllm: Loopback, attach: Attach) -> None:
    words = "Requested sample logprobs of 20, which is greater than max allowed: 5"
    vllm.on(CHAT, refusal(words), events(deltas("Yes.")))
    engine = attach(vllm.url)
    chunks = list(engine.stream(ask(uncertainty=True)))
    assert [chunk.uncertainty for chunk in chunks] == [None, None]
    assert not engine.capabilities.uncertainty
    assert ["logprobs" in body for body in vllm.bodies(CHAT)] == [True, False]


def test_uncertainty_is_not_expected_of_other_servers(server: Loopback, attach: Attach) -> None:
    server.on(CHAT, events(deltas("Yes.")))
    engine = attach(server.url).connect()
    assert not engine.capabilities.uncertainty
    assert next(iter(engine.stream(ask(uncertainty=True)))).uncertainty is None
    assert server.bodies(CHAT)[0]["logprobs"] is True


def test_entropy_is_never_above_that_of_the_whole_distribution() -> None:
    assert entropy([0.0]) == 0.0
    assert entropy([math.log(1 / 4)] * 4) == pytest.approx(math.log(4))
    whole = [math.log(1 / 64)] * 64
    assert entropy(whole) < math.log(64)
    assert entropy([math.log(0.5), -math.inf, math.log(0.5)]) == pytest.approx(math.log(2))
