"""`memagent serve` with a real vLLM: found by the other commands, stopped cleanly."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from memagent.models.bundled import pocket_lm
from memagent.serving.record import Record, read
from tests.conftest import PROGRAM, Run
from tests.test_cli import one_line
from tests.vllm.serving import CONTEXT, VLLM, RealServer, gone, members

pytestmark = pytest.mark.vllm


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The folder in which the program records its server."""
    return tmp_path / "state"


@contextmanager
def foreground(env: dict[str, str], *flags: str) -> Iterator[subprocess.Popen[str]]:
    """`memagent serve pocket` in its own terminal, as it were."""
    with subprocess.Popen(
        [PROGRAM, "serve", "pocket", "--port", "0", *flags],
        env={**env, **VLLM},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def recorded(state: Path, memagent: subprocess.Popen[str]) -> Record:
    """The record, as soon as there is one."""
    while (record := read(state)) is None:
        assert memagent.poll() is None
        time.sleep(0.01)
    return record


def group_of(record: Record) -> int:
    assert record.pid is not None
    assert members(record.pid)
    return record.pid


def test_a_served_model_is_found_by_ask_and_checked_by_doctor(server: RealServer, run: Run) -> None:
    served = {"MEMAGENT_STATE": str(server.state), "MEMAGENT_ENGINE": "auto"}
    run("add", "-", "--name", "notes", stdin="The pilot of the ice-breaker is Ingrid Sørlie.\n")
    asked = run("ask", "--json", "Who is the pilot?", "--max-tokens", "8", **served)
    assert asked.returncode == 0, asked.stderr
    assert json.loads(asked.stdout)["engine"] == "vllm"
    assert f"engine: vllm (toy at {server.url}, started by memagent)" in asked.stderr

    found = json.loads(run("doctor", "--json", **served).stdout)
    text = {finding["check"]: finding["text"] for finding in found}
    status = {finding["check"]: finding["status"] for finding in found}
    assert "toy" in text["engine"]
    assert text["context"] == f"{CONTEXT:,} tokens for prompt and answer"
    assert (text["logprobs"], status["logprobs"]) == ("works", "ok")
    assert (text["schema"], status["schema"]) == ("works", "ok")
    assert status["tools"] == "absent"
    assert "--tool-call-parser" in text["tools"]
    share = re.fullmatch(r"(\d+)% of ([\d,]+) prompt tokens were cached", text["cache"])
    assert share is not None
    assert int(share[2].replace(",", "")) > 0

    shown = json.loads(run("serve", "--status", "--json", **served).stdout)
    assert (shown["url"], shown["pid"], shown["state"]) == (server.url, server.pid, "answers")
    again = run("serve", "pocket", **served)
    assert again.returncode == 1
    assert f"already running at {server.url}" in one_line(again.stderr)


def test_the_foreground_ends_with_its_server_and_its_record(
    env: dict[str, str], state: Path
) -> None:
    with foreground(env) as memagent:
        assert memagent.stdout is not None
        url = memagent.stdout.readline().strip()
        record = recorded(state, memagent)
        group = group_of(record)
        assert (record.url, record.model) == (url, "pocket")
        memagent.send_signal(signal.SIGTERM)
        _, said = memagent.communicate(timeout=60)
        assert memagent.returncode == 0, said
    assert "the bundled toy model" in said
    assert "stopped" in said.splitlines()[-1]
    assert gone(group)
    assert read(state) is None


def test_what_a_killed_foreground_left_is_stopped(
    env: dict[str, str], state: Path, run: Run
) -> None:
    with foreground(env) as memagent:
        assert memagent.stdout is not None
        url = memagent.stdout.readline().strip()
        memagent.send_signal(signal.SIGKILL)
    group = group_of(recorded(state, memagent))
    # A fresh server, at last, that nobody has asked yet.
    doctor = run("doctor", "--url", url)
    assert re.search(r"^ok +cache +no request yet$", doctor.stdout, re.MULTILINE)
    stopped = run("serve", "--stop")
    assert stopped.returncode == 0
    assert f"{url} is stopped" in one_line(stopped.stderr)
    assert gone(group)
    assert read(state) is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_start_leaves_nothing(
    env: dict[str, str], state: Path, number: signal.Signals
) -> None:
    with foreground(env) as memagent:
        group = group_of(recorded(state, memagent))
        memagent.send_signal(number)
        output, said = memagent.communicate(timeout=60)
        assert memagent.returncode == 130, said
    assert output == ""
    assert "interrupted" in said.splitlines()[-1]
    assert gone(group)
    assert read(state) is None


def cut_weights(folder: Path) -> list[str]:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:100_000])
    return []


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda folder: ["--", "--no-such-flag"], "unrecognized arguments: --no-such-flag"),
        (cut_weights, "SafetensorError: "),
    ],
    ids=["unknown flag", "weights cut off"],
)
def test_a_model_that_does_not_load_is_one_line_and_leaves_nothing(
    run: Run, tmp_path: Path, state: Path, harm: Callable[[Path], list[str]], says: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(pocket_lm(), folder)
    failed = run("serve", folder, "--port", "0", "--detach", *harm(folder), **VLLM)
    assert failed.returncode == 4
    assert failed.stdout == ""
    assert f"vLLM cannot serve model: {says}" in failed.stderr.splitlines()[-1]
    assert str(state / "server.log") in failed.stderr.splitlines()[-1]
    assert read(state) is None
