"""Sixty steps of a long text by the bundled language model on a real server: its text is
nonsense within the schema, and everything else must work."""

import json
import signal
import subprocess
import time

import pytest

from memagent.memory.namespace import Namespace
from memagent.memory.store.working import MOST_LINES, MOST_WORDS
from memagent.writing.book import Book
from tests.batch.batches import conforms
from tests.conftest import PROGRAM, Run
from tests.vllm.serving import RealServer

pytestmark = pytest.mark.vllm

OUTLINE = "The keeper of a lighthouse finds a map and sails to an island."
HOT = {"MEMAGENT_TEMPERATURE": "0.8"}
BROKEN = 12


def _how(server: RealServer, steps: int) -> list[str]:
    served = ["--url", server.url, "--max-tokens", "150"]
    return ["--auto", "--steps", str(steps), "--seed", "5", "--json", *served]


def test_sixty_steps_kills_and_an_edit(
    pocket_server: RealServer, run: Run, env: dict[str, str], memory: Namespace
) -> None:
    unbroken = run("write", "--text", OUTLINE, "-s", "whole", *_how(pocket_server, 60), **HOT)
    assert unbroken.returncode == 0, unbroken.stderr
    steps = [json.loads(line) for line in unbroken.stdout.splitlines()]
    assert [step["step"] for step in steps] == list(range(1, 61))
    for step in steps:
        assert conforms("write", step)
        lines = step["memory"]["lines"]
        assert len(lines) <= MOST_LINES and len(" ".join(lines).split()) <= MOST_WORDS
    complete = [step for step in steps if step["state"] == "complete"]
    assert len(complete) >= 55, "the schema binds the model"
    assert any(step["memory"]["lines"] for step in steps), "the model has written memory"
    whole = [span.text for span in Book(memory, "whole").paragraphs()]
    assert whole == [step["paragraph"] for step in steps]

    command = [PROGRAM, "write", "--text", OUTLINE, "-c", "-s", "broken"]
    command += _how(pocket_server, BROKEN)
    for behind in (1, 4):
        with subprocess.Popen(
            command, env={**env, **HOT}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout
            for _ in range(behind):
                assert process.stdout.readline()
            time.sleep(0.3)
            process.send_signal(signal.SIGKILL)
    finished = subprocess.run(command, env={**env, **HOT}, capture_output=True, check=False)
    assert finished.returncode == 0, finished.stderr
    broken = Book(memory, "broken")
    assert [span.text for span in broken.paragraphs()] == whole[:BROKEN]
    assert broken.working.lines() == steps[BROKEN - 1]["memory"]["lines"]
    assert broken.plans.lines() == steps[BROKEN - 1]["plans"]

    # So small a model heeds a single line too little to say another word.
    news = "".join(
        f"House {n} of the island is on fire, and nobody fetches water.\n" for n in range(8)
    )
    run("memory", "edit", "broken", "--from", "-", stdin=news)
    more = run("write", "-c", "-s", "broken", *_how(pocket_server, BROKEN + 1), **HOT)
    (edited,) = map(json.loads, more.stdout.splitlines())
    assert edited["plan"] == steps[BROKEN]["plan"]
    assert edited["paragraph"] != whole[BROKEN], "the prompt was another one"
