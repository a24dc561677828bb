"""The servers of this folder: a scenario server, llama.cpp's and vLLM's, one at a time."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from memagent.serving.http import get
from tests.vllm.serving import gone, serving

ROOT = Path(__file__).parents[2]
LLAMA = ROOT / ".venv-llama" / "bin" / "python"
# SmolLM2-135M-Instruct: safetensors, and the GGUF file they were converted from.
MODEL = Path(os.environ.get("MEMAGENT_MODELS", ROOT / ".models")) / "smollm2"
CONTEXT = 4096
_SECONDS = 180  # to load a model on a busy machine


@dataclass(frozen=True)
class Server:
    """A running server: its kind and address, and its process, which leads a group of its own.

    `settings` are environment variables that the program needs to use it.
    """

    kind: str
    url: str
    pid: int
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """The settings of the program for this server."""
        return {"MEMAGENT_ENGINE": "vllm", "MEMAGENT_URL": self.url, **self.settings}

    def kill(self) -> None:
        """SIGKILL to the server and its worker processes."""
        os.killpg(self.pid, signal.SIGKILL)


@pytest.fixture(
    scope="module",
    params=[
        "scenario",
        pytest.param("llama", marks=pytest.mark.llama),
        pytest.param("vllm", marks=pytest.mark.vllm),
    ],
)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server of each kind in turn. The last test of a module may kill it."""
    folder = tmp_path_factory.mktemp(request.param)
    started = {"scenario": _scenario, "llama": _llama, "vllm": _vllm}[request.param]
    with started(folder) as running:
        yield running


@contextmanager
def _scenario(folder: Path) -> Iterator[Server]:
    program = Path(__file__).with_name("scenario.py")
    with _process([sys.executable, program], folder / "log") as (url, pid):
        yield Server("scenario", url, pid)


@contextmanager
def _llama(folder: Path) -> Iterator[Server]:
    """llama.cpp's server does not tell its context. By default it breaks off an answer when the
    next request comes, so a batch with several rows at a time needs the flag."""
    gguf = _needed(MODEL / "model.gguf", "make .models/smollm2")
    python = _needed(LLAMA, "make .venv-llama/ready")
    command = [
        python, "-m", "llama_cpp.server", "--model", gguf, "--model_alias", "smollm2",
        "--n_ctx", str(CONTEXT), "--n_threads", str(os.cpu_count()),
        "--interrupt_requests", "false", "--port",
    ]  # fmt: skip
    with _process(command, folder / "log") as (url, pid):
        yield Server("llama", url, pid, {"MEMAGENT_CONTEXT": str(CONTEXT)})


@contextmanager
def _vllm(folder: Path) -> Iterator[Server]:
    model = _needed(MODEL, "make .models/smollm2")
    with serving(model, folder, "--name", "smollm2", "--context", str(CONTEXT)) as running:
        yield Server("vllm", running.url, running.pid)


@contextmanager
def _process(command: list[str | Path], log: Path) -> Iterator[tuple[str, int]]:
    """A server started by a command that ends in its port: its address and process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with (
        log.open("w") as said,
        subprocess.Popen(
            [*command, str(port)], stdout=said, stderr=said, start_new_session=True
        ) as process,
    ):
        try:
            deadline = time.monotonic() + _SECONDS
            while get(url, "/v1/models", timeout=1) is None:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            yield url, process.pid
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert gone(process.pid)


def _needed(path: Path, command: str) -> Path:
    assert path.exists(), f"{path} is missing: run `{command}`"
    return path
