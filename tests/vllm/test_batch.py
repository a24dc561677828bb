"""Scripted batches on a real vLLM: many rows at once, and a server that dies midway."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from memagent.engines.openai.metrics import read_metrics
from tests.batch.batches import results_of
from tests.conftest import PROGRAM, Run
from tests.vllm.serving import RealServer, serving

pytestmark = pytest.mark.vllm

ROWS = 48


def written(path: Path, count: int = ROWS) -> Path:
    rows = [
        {"id": n, "op": "ask", "question": f"Which crate has the number {n}?"} for n in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def on(server: RealServer) -> dict[str, str]:
    return {"MEMAGENT_ENGINE": "vllm", "MEMAGENT_URL": server.url, "MEMAGENT_MAX_TOKENS": "48"}


def test_thirty_two_rows_at_a_time(server: RealServer, run: Run, tmp_path: Path) -> None:
    run("add", "-", "--name", "notes", stdin="\n\n".join(f"Crate {n} is red." for n in range(ROWS)))
    rows, out = written(tmp_path / "rows.jsonl"), tmp_path / "out.jsonl"
    before = server.metric("vllm:request_success_total")
    flags = ("--concurrency", "32")
    done = run("run", rows, "--out", out, *flags, **on(server))
    assert done.returncode == 0, done.stderr
    results = results_of(out)
    assert {row["id"] for row in results} == set(range(ROWS))
    assert all(row["result"]["usage"]["completion"] == 48 for row in results)
    # The first ones are refused for the tools in them, and asked again without.
    assert server.metric("vllm:request_success_total") - before == ROWS
    again = run("run", rows, "--out", out, "--resume", *flags, **on(server))
    assert f"0 rows ok, 0 failed, {ROWS} already finished" in again.stderr


def test_a_server_that_dies_ends_the_batch_and_the_next_run_goes_on(
    mortal: RealServer, env: dict[str, str], run: Run, tmp_path: Path
) -> None:
    rows, out = written(tmp_path / "rows.jsonl", 24), tmp_path / "out.jsonl"
    command = [PROGRAM, "run", rows, "--out", out, "--concurrency", "4"]
    slow = {**on(mortal), "MEMAGENT_MAX_TOKENS": "700"}
    with subprocess.Popen(
        command, env={**env, **slow}, stderr=subprocess.PIPE, text=True
    ) as process:
        while not out.exists() or not out.read_text():
            assert process.poll() is None
            time.sleep(0.05)
        mortal.kill()
        _, said = process.communicate(timeout=120)
    assert process.returncode == 4
    assert said.count("\n") == 1
    assert f"resume with --resume --out {out}" in said
    ended = {row["id"] for row in results_of(out)}
    assert 0 < len(ended) < 24
    assert all(row["status"] == "ok" for row in results_of(out))
    # What came of the others is kept.
    state = tmp_path / "again"
    with serving(mortal.model, state, "--name", "toy") as fresh:
        done = run("run", rows, "--out", out, "--resume", **{**slow, **on(fresh)})
        assert done.returncode == 0, done.stderr
        assert f"{24 - len(ended)} rows ok, 0 failed, {len(ended)} already finished" in done.stderr
        assert read_metrics(fresh.url)["vllm:request_success_total"] == 24 - len(ended)
    assert sorted(row["id"] for row in results_of(out)) == list(range(24))


def test_an_answer_keeps_the_part_that_came_before_the_server_died(
    mortal: RealServer, env: dict[str, str], run: Run
) -> None:
    command = [PROGRAM, "ask", "-s", "talk", "Which crate is red?"]
    slow = {**on(mortal), "MEMAGENT_MAX_TOKENS": "20000"}
    with subprocess.Popen(
        command, env={**env, **slow}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        first = process.stdout.read(40)
        mortal.kill()
        # Not communicate(): it would miss what stdout has buffered.
        rest = process.stdout.read()
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 4
    assert "went away in mid-answer" in said
    assert said.count("\n") == 1
    stored = run("sessions", "show", "talk", "--json")
    turns = json.loads(stored.stdout)
    assert [turn["role"] for turn in turns] == ["user", "assistant"]
    assert turns[1]["text"] == first + rest
