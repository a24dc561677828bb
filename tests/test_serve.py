"""`memagent serve` without vLLM: missing parts, attached, recorded and dead servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from memagent.serving.failure_log import failure_reason, last_line
from memagent.serving.record import Record, began, read, write
from memagent.serving.server_spec import ServerSpec
from tests.conftest import Run
from tests.engines.loopback import Loopback, reply
from tests.test_cli import one_line


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The folder in which the program records its server."""
    return tmp_path / "state"


def record_a_process(state: Path, pid: int, when: str | None) -> None:
    write(state, Record("http://127.0.0.1:9", "toy", pid, when, "server.log"))


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "give either a MODEL to serve"),
        (["pocket", "--stop"], 2, "give either a MODEL to serve"),
        (["./nowhere"], 3, "no model at ./nowhere"),
        (["pocket", "--context", "8"], 2, "--context must be at least 256 tokens"),
        (["pocket", "--gpu-memory", "1.5"], 2, "--gpu-memory must be"),
        (["pocket", "--tensor-parallel", "0"], 2, "--tensor-parallel must be at least 1"),
        (["--", "--seed", "1"], 2, "MODEL must be"),
        (["--attach", "localhost"], 2, "not a server's URL"),
        (["--attach", "http://127.0.0.1:9"], 4, "no server answers at http://127.0.0.1:9"),
        (["--status"], 3, "no server is recorded"),
        (["--stop"], 3, "no server is recorded"),
    ],
    ids=lambda value: " ".join(map(repr, value)) if isinstance(value, list) else "",
)
def test_bad_input_is_reported_in_one_line_with_a_remedy(
    run: Run, state: Path, arguments: list[str], code: int, says: str
) -> None:
    result = run("serve", *arguments)
    assert result.returncode == code, result.stderr
    assert says in one_line(result.stderr)
    assert result.stdout == ""
    assert read(state) is None


@pytest.mark.parametrize("flag", ["--python", "MEMAGENT_VLLM_PYTHON"])
def test_a_python_without_vllm_is_reported_with_a_remedy(run: Run, state: Path, flag: str) -> None:
    flags, extra = ([flag, sys.executable], {}) if flag[0] == "-" else ([], {flag: sys.executable})
    result = run("serve", "pocket", "--port", "0", *flags, **extra)
    assert result.returncode == 1
    said = one_line(result.stderr)
    assert "pip install 'memagent[vllm]'" in said
    assert "MEMAGENT_VLLM_PYTHON" in said
    assert not state.exists()


def test_a_path_that_is_no_python_is_reported(run: Run) -> None:
    result = run("serve", "pocket", "--port", "0", "--python", "no/python")
    assert result.returncode == 3
    assert "no/python cannot be run" in one_line(result.stderr)


def test_an_attached_server_is_found_and_forgotten_and_runs_on(run: Run, state: Path) -> None:
    with Loopback(max_model_len=4096) as server:
        attached = run("serve", "--attach", f"{server.url}/v1")
        assert attached.returncode == 0, attached.stderr
        assert attached.stdout == f"{server.url}\n"
        found = run("doctor", MEMAGENT_ENGINE="auto")
        assert f"engine: vllm (toy at {server.url}, attached by memagent)" in found.stdout
        shown = json.loads(run("serve", "--status", "--json").stdout)
        assert (shown["url"], shown["model"]) == (server.url, "toy")
        assert (shown["pid"], shown["state"]) == (None, "answers")
        stopped = run("serve", "--stop")
        assert stopped.returncode == 0
        assert "keeps running" in one_line(stopped.stderr)
        assert read(state) is None
        assert run("serve", "--attach", server.url).returncode == 0
    silent = run("serve", "--status")
    assert silent.returncode == 4
    assert f"{server.url}: toy, silent" in silent.stdout


def test_an_attached_server_is_asked_with_the_key_of_the_settings(run: Run) -> None:
    with Loopback() as server:
        assert run("serve", "--attach", server.url, MEMAGENT_API_KEY="k").returncode == 0
        assert run("serve", "--status", MEMAGENT_API_KEY="k").returncode == 0
        assert {seen.authorization for seen in server.seen} == {"Bearer k"}
        server.on("GET /v1/models", reply({"error": "no key"}, 401))
        assert run("serve", "--status").returncode == 4


def test_a_record_of_a_process_that_ended_is_forgotten(run: Run, state: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    when = began(child.pid)
    child.wait()
    record_a_process(state, child.pid, when)
    shown = run("serve", "--status")
    assert shown.returncode == 3
    assert "has stopped" in one_line(shown.stderr)
    assert read(state) is None


def test_another_process_with_the_recorded_number_is_left_alone(run: Run, state: Path) -> None:
    with subprocess.Popen([sys.executable], stdin=subprocess.PIPE, start_new_session=True) as other:
        record_a_process(state, other.pid, "long ago")
        stopped = run("serve", "--stop")
        assert stopped.returncode == 0
        assert "had stopped already" in one_line(stopped.stderr)
        assert other.poll() is None
        assert read(state) is None


def test_a_server_that_runs_is_not_recorded_over(run: Run, state: Path) -> None:
    record_a_process(state, os.getpid(), began(os.getpid()))
    with Loopback() as server:
        for arguments in (["--attach", server.url], ["pocket"]):
            refused = run("serve", *arguments)
            assert refused.returncode == 1
            assert "stop it with memagent serve --stop" in one_line(refused.stderr)
    assert read(state) == Record(
        "http://127.0.0.1:9", "toy", os.getpid(), began(os.getpid()), "server.log"
    )


def test_began_tells_processes_apart() -> None:
    with subprocess.Popen([sys.executable], stdin=subprocess.PIPE) as child:
        assert began(child.pid) not in (None, began(os.getpid()))
        child.kill()
        # Ended, but not yet waited for: it is still listed.
        while began(child.pid) is not None:
            pass
        assert child.returncode is None


def test_flags_of_the_server(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"text_config": {"max_position_embeddings": 1024}}')
    plain = ServerSpec(str(tmp_path), context=1024, tensor_parallel=2, extra=("--seed", "3"))
    command = plain.command(81)
    assert "--hf-overrides" not in command
    assert "--gpu-memory-utilization" not in command
    assert command[command.index("--tensor-parallel-size") + 1] == "2"
    assert command[command.index("--served-model-name") + 1] == tmp_path.name
    assert command[-2:] == ["--seed", "3"]
    assert plain.environment()["HF_HUB_OFFLINE"] == "1"
    longer = ServerSpec(str(tmp_path), context=2048).command(81)
    override = json.loads(longer[longer.index("--hf-overrides") + 1])
    assert override == {"text_config": {"max_position_embeddings": 2048}}


LOG = """\
(APIServer pid=7) INFO 11-26 07:22:44 [api_utils.py:286] non-default args: {}
(Worker pid=9) ERROR 11-26 07:28:38 [executor.py:953] Traceback (most recent call last):
(Worker pid=9) ERROR 11-26 07:28:38 [executor.py:953] a.b.ShapeError: the file is cut off
(EngineCore pid=8) ERROR 11-26 07:28:39 [core.py:1510] Exception: failed. See stack trace for \
root cause.
    raise RuntimeError(
RuntimeError: Engine core failed. See root cause above. Failed: {'EngineCore': 1}
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LOG, "ShapeError: the file is cut off"),
        (
            "pydantic_core.ValidationError: 1 validation error for ModelConfig\n"
            "  Value error, 6 heads on 4 GPUs [type=value_error, input_value=ArgsKwargs((), {})]\n"
            "    For further information visit https://example.org\n",
            "6 heads on 4 GPUs",
        ),
        ("usage: entry.py\nentry.py: error: unrecognized arguments: --x\n", "unrecognized"),
        ("(Worker pid=1) INFO 11-26 07:22:44 [a.py:1] loading\n\n", "loading"),
        ("", "it said nothing"),
    ],
)
def test_the_log_says_why_a_server_ended(tmp_path: Path, text: str, words: str) -> None:
    log = tmp_path / "server.log"
    log.write_text(text)
    assert failure_reason(log).startswith(words)
    assert failure_reason(log).endswith(f"(log: {log})")
    assert last_line(log) in text


def test_a_port_in_use_is_said(run: Run, state: Path) -> None:
    with Loopback() as server:
        refused = run("serve", "pocket", "--port", server.url.rpartition(":")[2])
    assert refused.returncode == 1
    assert "in use" in one_line(refused.stderr)
    assert "--port" in refused.stderr
    assert read(state) is None
