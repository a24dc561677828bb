"""The vllm engine: thinking that the template opens in the prompt, so that only its end shows."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from memagent.engines.openai.opening import PATIENCE, opens_thinking, thinks_by_name
from tests.engines.asking import Attach, ask, read
from tests.engines.loopback import Loopback, deltas, events, reply

CHAT = "POST /v1/chat/completions"


def chunks(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.mark.parametrize("size", [1, 5, 200])
def test_a_lone_closing_tag_turns_what_came_before_into_thinking(
    server: Loopback, attach: Attach, size: int
) -> None:
    text = "The user asks for the colour; red?\n</think>\n\nThe boat is green."
    server.on(CHAT, events(deltas(*chunks(text, size))))
    engine = attach(server.url)
    for _ in range(2):
        answered = read(engine.stream(ask()))
        assert answered.text == "The boat is green."
        assert answered.thinking.strip() == "The user asks for the colour; red?"


def slowly(texts: list[str]) -> Any:
    def send(exchange: Any) -> None:
        exchange.begin("text/event-stream")
        for text in texts:
            line = json.dumps(deltas(text, finish=None)[0])
            exchange.piece(f"data: {line}\n\n".encode())
            time.sleep(0.6 * PATIENCE)
        exchange.piece(b"")

    return send


def test_an_answer_that_shows_no_tag_in_time_streams(server: Loopback, attach: Attach) -> None:
    server.on(CHAT, slowly(["One ", "two ", "three ", "four ", "five"]))
    texts = [chunk.text for chunk in attach(server.url).stream(ask())]
    assert texts == ["One ", "two ", "three ", "four ", "five", ""]


def test_a_closing_tag_that_comes_too_late_is_learned_from(
    server: Loopback, attach: Attach, caplog: pytest.LogCaptureFixture
) -> None:
    server.on(CHAT, slowly(["red? ", "blue? ", "no. ", "</think>", "Green."]))
    engine = attach(server.url)
    first, second = read(engine.stream(ask())), read(engine.stream(ask()))
    assert "</think>" not in first.text
    assert first.text.endswith("Green.")
    assert "shown as part of its answer" in caplog.text
    assert (second.text, second.thinking) == ("Green.", "red? blue? no. ")


def test_a_template_that_opens_thinking_is_known_from_llama_cpp(
    server: Loopback, attach: Attach
) -> None:
    template = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}"
    server.on("GET /props", reply({"chat_template": template}))
    server.on(CHAT, slowly(["red? ", "blue? ", "no. ", "</think>", "Green."]))
    stream = attach(server.url).stream(ask())
    assert next(stream).thinking == "red? "
    assert read(stream).text == "Green."


def test_a_prompt_that_opens_thinking_is_known_from_vllm(server: Loopback, attach: Attach) -> None:
    server.on("GET /version", reply({"version": "0.32.0"}))
    open_prompt = {"count": 3, "tokens": [1, 2, 3], "token_strs": ["assistantĊ", "<think>", "Ċ"]}
    server.on("POST /tokenize", reply(open_prompt))
    server.on(CHAT, events(deltas("red?", "</think>", "Green.")))
    stream = attach(server.url).stream(ask(thinking="high"))
    assert next(stream).thinking == "red?"
    assert read(stream).text == "Green."
    sent = server.bodies("POST /tokenize")[0]
    assert sent["chat_template_kwargs"]["enable_thinking"] is True


def test_opened_thinking_that_is_never_closed_is_the_answer_if_it_ends_by_itself(
    attach: Attach,
) -> None:
    with Loopback(id="qwq-32b", max_model_len=256) as server:
        server.on(CHAT, events(deltas("The boat ", "is green.")))
        engine = attach(server.url)
        first, second = read(engine.stream(ask())), read(engine.stream(ask()))
        assert first.text == second.text == "The boat is green."
        assert second.thinking == ""
        server.on(CHAT, events(deltas("perhaps red", finish="length")))
        cut = read(attach(server.url).stream(ask()))
    assert (cut.text, cut.thinking, cut.last.finish) == ("", "perhaps red", "length")


def test_templates_and_names_that_open_thinking() -> None:
    asked = "{{ '<think>' }}{% if add_generation_prompt %}{{ 'assistant' }}"
    closed = "add_generation_prompt %}{{ '<think>\\n\\n</think>' }}"
    assert not opens_thinking(asked)
    assert not opens_thinking(closed)
    assert opens_thinking("add_generation_prompt %}{{ '<|Assistant|><think>\\n' }}{% endif %}")
    assert opens_thinking("<think> may be in a text</think> assistantĊ<think>Ċ")
    assert not opens_thinking("what is <think>? " + "word " * 20 + "assistant")
    names = ["DeepSeek-R1-Distill-Qwen-7B", "deepseek-r1:8b", "Qwen/QwQ-32B", "Phi-4-reasoning"]
    names += ["qwen3-4b-thinking-2507", "GLM-Z1-9B"]
    assert all(map(thinks_by_name, names))
    assert not any(map(thinks_by_name, ["toy", "Qwen2.5-Coder-0.5B", "llama3:latest", "smollm2"]))
