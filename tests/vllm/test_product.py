"""The program with a real vLLM server and a small random model."""

import json

import pytest

from tests.conftest import Run
from tests.vllm.serving import RealServer

pytestmark = pytest.mark.vllm


def test_ask_and_chat_over_a_served_model(server: RealServer, run: Run) -> None:
    run("add", "-", "--name", "notes", stdin="The pilot of the ice-breaker is Ingrid Sørlie.\n")
    served = ("--url", server.url, "--max-tokens", "24")
    asked = run("ask", "--json", "--explain", "Who is the pilot?", *served)
    assert asked.returncode == 0, asked.stderr
    answer = json.loads(asked.stdout)
    assert answer["engine"] == "vllm" and answer["ended"] in ("stop", "length")
    assert answer["text"]
    assert answer["usage"]["prompt"] == answer["explain"]["prompt_tokens"]
    assert 0 < answer["usage"]["completion"] <= 24
    assert [line["source"] for line in answer["explain"]["chosen"]] == ["notes"]
    assert server.url in asked.stderr

    chat = run("chat", "-s", "talk", *served, stdin="Good morning.\nWhat did I say?\n")
    assert chat.returncode == 0, chat.stderr
    turns = json.loads(run("sessions", "show", "talk", "--json").stdout)
    assert [turn["role"] for turn in turns] == ["user", "assistant"] * 2

    small = run("ask", "Who is the pilot?", *served[:-1], "1000000")
    assert small.returncode == 4
    assert "--max-tokens" in small.stderr

    doctor = run("doctor", "--url", server.url)
    assert "prompt log-probabilities" in doctor.stdout
