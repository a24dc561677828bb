"""The vllm engine against a real vLLM server on a toy model."""

from __future__ import annotations

import json
import signal
import threading
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from memagent.engines.openai.engine import VllmEngine
from memagent.errors import EngineError
from memagent.types import Chunk, Message, Request
from tests.vllm.serving import CONTEXT, RealServer

pytestmark = pytest.mark.vllm

Attach = Callable[..., VllmEngine]
MESSAGES = (
    Message("system", "Answer from the evidence."),
    Message("user", "Where does the harbour master keep the spare key? 記憶"),
)


def tokenizer_of(server: RealServer) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(server.model)


def ask(max_tokens: int = 24, **fields: Any) -> Request:
    return Request(MESSAGES, MESSAGES[-1].content, max_tokens=max_tokens, **fields)


def posted(url: str, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        return dict(json.load(response))


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def is_idle(server: RealServer) -> bool:
    """Whether the server has nothing to do, at the latest in a minute."""
    deadline = time.monotonic() + 60
    while server.metric("vllm:num_requests_running") > 0 and time.monotonic() < deadline:
        time.sleep(0.1)
    return server.metric("vllm:num_requests_running") == 0


def test_connect_finds_model_context_and_capabilities(server: RealServer, attach: Attach) -> None:
    engine = attach(server.url + "/v1")
    assert (engine.model, engine.context) == ("toy", CONTEXT)
    assert engine.capabilities.prompt_logprobs
    assert engine.capabilities.structured


def test_a_model_it_does_not_serve_is_refused(server: RealServer, attach: Attach) -> None:
    with pytest.raises(EngineError, match="choose one of toy with --model"):
        attach(server.url, model="other")


@pytest.mark.parametrize(
    "text", ["", "The spare key.", "  two\n\nlines ", "記憶は消えない", "🔑 <eos> key", "x" * 3000]
)
def test_count_is_the_tokenizers(server: RealServer, attach: Attach, text: str) -> None:
    own = tokenizer_of(server).encode(text, add_special_tokens=False)
    assert attach(server.url).count(text) == len(own)


def test_prompt_count_is_the_chat_templates(server: RealServer, attach: Attach) -> None:
    own = tokenizer_of(server).apply_chat_template(
        [{"role": message.role, "content": message.content} for message in MESSAGES],
        add_generation_prompt=True,
        return_dict=False,
    )
    assert attach(server.url).count_prompt(MESSAGES) == len(own)


def test_stream_is_the_servers_answer_in_pieces_with_its_usage(
    server: RealServer, attach: Attach
) -> None:
    engine = attach(server.url)
    chunks = list(engine.stream(ask()))
    body = {
        "model": "toy",
        "messages": [{"role": m.role, "content": m.content} for m in MESSAGES],
        "max_tokens": 24,
        "temperature": 0.0,
    }
    whole = posted(f"{server.url}/v1/chat/completions", body)
    assert len([chunk for chunk in chunks if chunk.text]) > 1
    assert chunks[-1].finish == "length"
    assert text_of(chunks) == whole["choices"][0]["message"]["content"]
    assert chunks[-1].finish == whole["choices"][0]["finish_reason"]
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.prompt == whole["usage"]["prompt_tokens"] == engine.count_prompt(MESSAGES)
    assert usage.completion == whole["usage"]["completion_tokens"]


def test_tools_that_the_server_refuses_are_left_out(server: RealServer, attach: Attach) -> None:
    tool = {"type": "function", "function": {"name": "recall", "parameters": {"type": "object"}}}
    engine = attach(server.url)
    with_tools, without = list(engine.stream(ask(tools=(tool,)))), list(engine.stream(ask()))
    assert text_of(with_tools) == text_of(without)
    assert not engine.capabilities.tools


def test_closing_the_stream_stops_the_generation(server: RealServer, attach: Attach) -> None:
    wanted = CONTEXT - 500
    before = server.metric("vllm:generation_tokens_total")
    stream = attach(server.url).stream(ask(max_tokens=wanted))
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert is_idle(server)
    assert 0 < server.metric("vllm:generation_tokens_total") - before < wanted


def test_an_interrupt_before_the_first_token_stops_the_reading_of_the_prompt(
    server: RealServer, attach: Attach
) -> None:
    engine = attach(server.url)

    def long(first: str) -> Request:
        # Begins in its own way, so that nothing of it is cached.
        text = first + "key " * (CONTEXT * 60 // engine.count("key " * 100))
        return Request((Message("user", text),), text, max_tokens=CONTEXT // 4)

    began = time.monotonic()
    stream = engine.stream(long("One "))
    next(stream)
    to_first_token = time.monotonic() - began
    stream.close()  # type: ignore[attr-defined]
    assert is_idle(server)
    before = server.metric("vllm:generation_tokens_total")
    main = threading.main_thread().ident
    assert main is not None
    request = long("Another ")
    timer = threading.Timer(to_first_token / 3, signal.pthread_kill, (main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        next(engine.stream(request))
    # If the first request were still running, its tokens would be counted too.
    after = list(engine.stream(ask()))[-1].usage
    assert after is not None
    assert is_idle(server)
    assert server.metric("vllm:generation_tokens_total") - before == after.completion


def test_logprobs_are_those_of_transformers(server: RealServer, attach: Attach) -> None:
    import torch
    from transformers import LlamaForCausalLM

    tokens = tokenizer_of(server).encode("On 14 March the crew counted 212 crates. " * 8)
    model = LlamaForCausalLM.from_pretrained(server.model, dtype=torch.float32)
    with torch.no_grad():
        scores = model(torch.tensor([tokens])).logits[0, :-1].log_softmax(-1)
    own = scores.gather(1, torch.tensor(tokens[1:])[:, None])[:, 0].tolist()
    got = attach(server.url).logprobs(tokens)
    assert got == pytest.approx([0.0, *own], abs=1e-2)
    assert len(set(got)) > 10


def test_a_prompt_beyond_the_context_names_the_numbers(server: RealServer, attach: Attach) -> None:
    engine = attach(server.url)
    long = Request((Message("user", "key " * CONTEXT),), "key", max_tokens=16)
    with pytest.raises(EngineError, match=rf"{CONTEXT} tokens.*--budget.*--max-model-len"):
        list(engine.stream(long))


def test_a_server_killed_in_mid_answer_leaves_what_came(mortal: RealServer, attach: Attach) -> None:
    engine = attach(mortal.url)
    # Without a chat template: the prompt goes as plain text, and is counted so.
    first = list(engine.stream(ask()))
    assert first[-1].usage is not None
    assert first[-1].usage.prompt <= engine.count_prompt(MESSAGES) <= first[-1].usage.prompt + 1

    stream = engine.stream(ask(max_tokens=CONTEXT - 500))
    got = [next(stream) for _ in range(5)]
    mortal.kill()
    with pytest.raises(EngineError, match=f"{mortal.url} went away in mid-answer"):
        got.extend(stream)
    assert len(text_of(got)) > 0
    assert got[-1].finish is None
    with pytest.raises(EngineError, match=f"no server answers at {mortal.url}") as caught:
        list(engine.stream(ask()))
    assert caught.value.exit_code == 4
