"""`memagent chat` on a terminal and a real vLLM: streaming, and Ctrl-C at every moment."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pexpect
import pytest

from memagent.memory.namespace import Namespace
from tests.conftest import Run
from tests.terminals import CTRL_C, PROMPT, spawn
from tests.vllm.serving import RealServer

pytestmark = pytest.mark.vllm


@pytest.fixture
def child(server: RealServer, env: dict[str, str], run: Run) -> Iterator[pexpect.spawn[str]]:
    """A chat with a model that never stops on its own and has a long prompt to read."""
    crates = [
        f"The crew of ship {n} counted {n * 7} crates of tea and {n} of silk." for n in range(900)
    ]
    run("add", "-", "--name", "log", stdin="\n\n".join(crates))
    extra = {
        "MEMAGENT_ENGINE": "vllm",
        "MEMAGENT_URL": server.url,
        "MEMAGENT_MAX_TOKENS": "8000",
        "MEMAGENT_BUDGET": "12000",
        "TERM": "xterm-256color",
    }
    started = spawn(["chat", "-s", "talk"], {**env, **extra})
    yield started
    started.close(force=True)


def running(server: RealServer, wanted: int) -> None:
    """Wait until the server is processing this many requests."""
    deadline = time.monotonic() + 60
    while server.metric("vllm:num_requests_running") != wanted:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_ctrl_c_in_prefill_in_decode_at_the_prompt_and_twice(
    child: pexpect.spawn[str], server: RealServer, memory: Namespace
) -> None:
    # In prefill: ten thousand tokens are to be read before the first word.
    before = server.metric("vllm:generation_tokens_total")
    child.expect_exact(PROMPT)
    child.sendline("How many crates did the crew count?")
    running(server, 1)
    child.send(CTRL_C)
    child.expect(r"\(stopped; the (turn|part) is kept\)")
    running(server, 0)
    # In decode: words have come, and the server stops writing more of them.
    child.expect_exact(PROMPT)
    child.sendline("Which crate?")
    running(server, 1)
    while server.metric("vllm:generation_tokens_total") < before + 20:
        time.sleep(0.01)
    child.send(CTRL_C)
    child.expect_exact("(stopped; the part is kept)")
    running(server, 0)
    assert server.metric("vllm:generation_tokens_total") < before + 8000
    # At the prompt: once gives the hint, twice leaves.
    child.expect_exact(PROMPT)
    time.sleep(2)  # a press right after a stopped answer counts as the second
    child.send(CTRL_C)
    child.expect_exact("(press Ctrl-C again or Ctrl-D to leave)")
    child.send(CTRL_C)
    child.expect(pexpect.EOF)
    child.close()
    assert child.signalstatus is None
    assert child.exitstatus == 130
    spans = memory.spans.of(memory.sources.get("talk", "session").id)
    roles = [span.role for span in spans]
    assert roles in (["user", "user", "assistant"], ["user", "assistant", "user", "assistant"])
    assert spans[0].text == "How many crates did the crew count?"
    assert spans[-1].text


def test_ctrl_c_twice_in_an_answer_leaves_and_stops_the_server(
    child: pexpect.spawn[str], server: RealServer, memory: Namespace
) -> None:
    child.expect_exact(PROMPT)
    child.sendline("Which crate?")
    running(server, 1)
    child.send(CTRL_C)
    child.send(CTRL_C)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    running(server, 0)
    assert memory.spans.of(memory.sources.get("talk", "session").id)[0].text == "Which crate?"
