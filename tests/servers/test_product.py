"""The program with real servers of several kinds, and with one that always behaves well.

The tests run in order on one server of a kind; the last one kills it.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from memagent.engines.openai.engine import VllmEngine
from memagent.types import Message, Request
from tests.batch.batches import results_of
from tests.conftest import PROGRAM, Run
from tests.servers.conftest import CONTEXT, Server

NOTE = "The pilot of the ice-breaker is Ingrid Sørlie. She keeps the charts in the oak desk.\n"
MESSAGES = (Message("user", "Where does the pilot keep the charts? In the oak desk. Where?"),)
STORY = "Tell a very long story about the pilot, with many chapters."


@pytest.fixture
def engine(server: Server) -> Iterator[VllmEngine]:
    """The engine, connected."""
    with closing(VllmEngine(server.url, context=CONTEXT)) as made:
        yield made.connect()


def ask(**fields: Any) -> Request:
    return Request(MESSAGES, MESSAGES[-1].content, **fields)


def test_a_question_is_answered_from_a_note(server: Server, run: Run) -> None:
    run("add", "-", "--name", "notes", stdin=NOTE)
    asked = run(
        "ask", "--json", "--explain", "Who is the pilot?", "--max-tokens", "32", **server.env
    )
    assert asked.returncode == 0, asked.stderr
    answer = json.loads(asked.stdout)
    assert (answer["engine"], answer["ended"]) in (("vllm", "stop"), ("vllm", "length"))
    assert answer["text"].strip()
    assert [line["source"] for line in answer["explain"]["chosen"]] == ["notes"]


def test_a_conversation_keeps_both_sides(server: Server, run: Run) -> None:
    said = "I am Ada.\nWhat is my name?\n"
    chat = run("chat", "-s", "talk", "--max-tokens", "16", stdin=said, **server.env)
    assert chat.returncode == 0, chat.stderr
    turns = json.loads(run("sessions", "show", "talk", "--json").stdout)
    assert [turn["role"] for turn in turns] == ["user", "assistant"] * 2
    assert all(turn["text"].strip() for turn in turns)


def test_a_batch_answers_every_row_once(server: Server, run: Run, tmp_path: Path) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    run("add", "-", "--name", "notes", stdin=NOTE)
    places = ("pilot", "ice-breaker", "desk", "charts")
    questions = [
        {"id": n, "op": "ask", "question": f"Tell me about the {place}."}
        for n, place in enumerate(places)
    ]
    rows.write_text("".join(json.dumps(row) + "\n" for row in questions))
    how: dict[str, str] = {**server.env, "MEMAGENT_MAX_TOKENS": "24"}
    done = run("run", rows, "--out", out, "--concurrency", "2", **how)
    assert done.returncode == 0, done.stderr
    assert sorted(row["id"] for row in results_of(out)) == [0, 1, 2, 3]
    again = run("run", rows, "--out", out, "--resume", **how)
    assert "0 rows ok, 0 failed, 4 already finished" in again.stderr


def test_a_step_of_a_long_text_has_a_paragraph(server: Server, run: Run) -> None:
    how = ("--auto", "--steps", "1", "--seed", "5", "--json", "--max-tokens", "400")
    done = run("write", "--text", "The keeper finds a map.", "-s", "book", *how, **server.env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["paragraph"].strip()


def test_an_offer_of_tools_does_no_harm(engine: VllmEngine) -> None:
    words = {"type": "object", "properties": {"query": {"type": "string"}}}
    tool = {
        "type": "function",
        "function": {"name": "search", "description": "Search.", "parameters": words},
    }
    chunks = list(engine.stream(ask(tools=(tool,), max_tokens=24)))
    calls = [call for chunk in chunks for call in chunk.tool_calls]
    assert calls or "".join(chunk.text for chunk in chunks).strip()
    assert all(call.name == "search" for call in calls)


def test_tokens_are_counted_as_the_server_counts_them(engine: VllmEngine) -> None:
    assert engine.count("") == 0
    assert 0 < engine.count("the oak desk") < engine.count("the oak desk " * 20)
    used = list(engine.stream(ask(max_tokens=4)))[-1].usage
    if used is not None and used.prompt:
        # A server may count the template's own tokens, which are few.
        assert used.prompt == pytest.approx(engine.count_prompt(MESSAGES), abs=32)


def test_a_cut_answer_says_so(engine: VllmEngine) -> None:
    request = Request((Message("user", STORY),), STORY, max_tokens=5)
    chunks = list(engine.stream(request))
    assert "".join(chunk.text for chunk in chunks).strip()
    assert chunks[-1].finish == "length"


def _interrupted(
    server: Server, env: dict[str, str], interrupt: Callable[[subprocess.Popen[bytes]], None]
) -> tuple[str, str, int]:
    """Interrupt a long answer after its first words: all that was printed, stderr, exit code."""
    command = [PROGRAM, "ask", "-s", "story", STORY, "--max-tokens", "2000"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "bufsize": 0}
    with subprocess.Popen(command, env={**env, **server.env}, **streams) as process:
        assert process.stdout is not None
        first = process.stdout.read(20)
        interrupt(process)
        rest, said = process.communicate(timeout=120)
    return (first + rest).decode(), said.decode(), process.returncode


def test_ctrl_c_keeps_the_part_and_frees_the_server(
    server: Server, run: Run, env: dict[str, str]
) -> None:
    shown, said, code = _interrupted(
        server, env, lambda process: process.send_signal(signal.SIGINT)
    )
    assert code == 130, said
    assert "Traceback" not in said
    turns = json.loads(run("sessions", "show", "story", "--json").stdout)
    assert [turn["role"] for turn in turns] == ["user", "assistant"]
    assert turns[1]["text"].strip() == shown.strip()
    after = run("ask", "Who is the pilot?", "--max-tokens", "8", **server.env)
    assert after.returncode == 0, after.stderr


def test_a_server_killed_in_mid_answer_leaves_what_came(
    server: Server, run: Run, env: dict[str, str]
) -> None:
    shown, said, code = _interrupted(server, env, lambda process: server.kill())
    assert code == 4, said
    assert "went away in mid-answer" in said
    assert said.count("\n") == 1
    turns = json.loads(run("sessions", "show", "story", "--json").stdout)
    assert [turn["role"] for turn in turns] == ["user", "assistant"]
    assert turns[1]["text"].strip() == shown.strip()
    gone = run("ask", "Who is the pilot?", **server.env)
    assert gone.returncode == 4
    assert gone.stderr.count("\n") == 1
