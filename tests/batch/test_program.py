"""`memagent run` from the command line: exit codes, pipes, Ctrl-C, kills."""

import json
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.batch.batches import as_lines, results_of
from tests.conftest import PROGRAM, Run

QUESTIONS = [{"id": n, "op": "ask", "question": f"Who is number {n}?"} for n in range(1, 5)]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_bytes(b"\n".join(as_lines(rows)))
    return path


def test_a_batch_over_pipes(run: Run) -> None:
    lines = [*as_lines([{"id": 1, "op": "add", "text": "The port is Tolvik.", "name": "n"}])]
    lines += [b"not json", *as_lines([{"id": "é", "op": "ask", "question": "Which port is it?"}])]
    done = run("run", "-", stdin=b"\n".join(lines).decode())
    added, broken, answered = map(json.loads, done.stdout.splitlines())
    assert (added["status"], broken["line"]) == ("ok", 2)
    assert "Tolvik" in answered["result"]["text"] and answered["id"] == "é"
    assert done.returncode == 6
    assert "line 2 is not JSON" in done.stderr and "2 rows ok, 1 failed" in done.stderr


def test_invalid_options_are_refused_before_any_row(run: Run, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "in.jsonl", QUESTIONS)
    out = tmp_path / "out.jsonl"

    def refused(code: int, says: str, *arguments: object) -> None:
        done = run("run", *map(str, arguments))
        (line,) = done.stderr.splitlines()
        assert (done.returncode, done.stdout) == (code, "") and says in line, done.stderr

    refused(3, "does not exist", "none.jsonl")
    refused(1, "cannot be read: is a directory", tmp_path)
    refused(2, "--resume needs --out", rows, "--resume")
    refused(2, "--out is the input file", rows, "--out", rows)
    down = ("--engine", "vllm", "--url", "http://127.0.0.1:9")
    refused(4, "no server answers", rows, "--out", out, *down)
    assert out.read_text() == ""
    out.write_text('{"id": 1, "op": "ask", "status": "error", "error": "gone"}\n')
    refused(2, "--resume", rows, "--out", out)


@pytest.fixture
def slow(env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """An environment whose engine takes a while for its answers."""
    script = tmp_path / "script.jsonl"
    script.write_text(json.dumps({"text": "one two three four", "delay": 0.1}) + "\n")
    return {**env, "MEMAGENT_ENGINE": "scripted", "MEMAGENT_SCRIPT": str(script)}


def stopped(
    rows: Path, out: Path, env: dict[str, str], stop: int, behind: int, *options: str
) -> subprocess.CompletedProcess[str]:
    """Run a batch and send it a signal once `behind` results are written."""
    command = [PROGRAM, "run", rows, "--out", out, *options]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            if out.exists() and out.read_text().count("\n") >= behind:
                process.send_signal(stop)
                break
        _, stderr = process.communicate(timeout=120)
    return subprocess.CompletedProcess(command, process.returncode, "", stderr)


@pytest.mark.parametrize("concurrency", ["1", "2"])
def test_ctrl_c_keeps_the_finished_rows(
    slow: dict[str, str], tmp_path: Path, concurrency: str
) -> None:
    rows = write_rows(tmp_path / "in.jsonl", QUESTIONS)
    out = tmp_path / "out.jsonl"
    options = ("--concurrency", concurrency)
    done = stopped(rows, out, slow, signal.SIGINT, 1, *options)
    assert done.returncode == 130, done.stderr
    assert "--resume" in done.stderr and "Traceback" not in done.stderr
    assert 1 <= len(results_of(out)) < len(QUESTIONS)


def test_a_killed_batch_does_every_row_once(run: Run, slow: dict[str, str], tmp_path: Path) -> None:
    chats = [
        {"id": f"c{n}", "op": "chat", "session": f"s{n % 2}", "text": f"Turn {n}."}
        for n in range(8)
    ]
    add = {"id": "add", "op": "add", "text": "The port is Tolvik.", "name": "notes"}
    rows = write_rows(tmp_path / "in.jsonl", [add, *chats, *QUESTIONS])
    out = tmp_path / "out.jsonl"
    for behind in (2, 7):
        done = stopped(rows, out, slow, signal.SIGKILL, behind, "--resume", "--concurrency", "2")
        assert done.returncode == -signal.SIGKILL, done.stderr
        with out.open("a") as file:
            file.write('{"id": "c7", "op": "ch')  # as a power cut would leave it
    done = stopped(rows, out, slow, 0, 99, "--resume", "--concurrency", "2")
    assert done.returncode == 0, done.stderr
    ended = Counter(value["id"] for value in results_of(out))
    assert set(ended.values()) == {1}
    assert set(ended) == {"add", 1, 2, 3, 4, *(chat["id"] for chat in chats)}
    for name in ("s0", "s1"):
        shown = json.loads(run("sessions", "show", name, "--json").stdout)
        turns = [turn for turn in shown if not turn["withdrawn"]]
        assert [turn["role"] for turn in turns] == ["user", "assistant"] * 4
        said = [turn["text"] for turn in turns if turn["role"] == "user"]
        assert said == [chat["text"] for chat in chats if chat["session"] == name]
