"""Shared fixtures: a store in a temporary folder, the bundled embedder, the program."""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

# Triton reads this when it is imported, so it is set before anything that might import it.
if not os.path.exists("/dev/nvidia0"):  # noqa: PTH110
    os.environ.setdefault("TRITON_INTERPRET", "1")
# Two test processes share two cores: more threads would only wait for one another.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from memagent.memory.index.embedder import Embedder
from memagent.memory.namespace import Namespace
from memagent.memory.store.database import Store

# Killed processes, training, kernels in Triton's interpreter, benches, repeated starts of the
# program with its real models: they take most of the time and run in `make test-full`.
SLOW = (
    "batch/test_two_hundred.py", "chat/test_stream_chat.py", "engines/test_stream.py",
    "engines/test_stream_processes.py", "kernels/test_attend.py", "kernels/test_compile.py",
    "kernels/test_error.py", "kernels/test_landmark.py", "kernels/test_operations.py",
    "kernels/test_random.py", "models/test_get.py", "models/test_smollm2.py", "servers",
    "streaming", "test_as_of.py", "test_bench.py", "test_bench_answers.py",
    "test_bench_ingest.py", "test_bench_kernels.py", "test_bench_loops.py",
    "test_bench_reader.py", "test_bench_recall.py", "test_bench_segments.py",
    "test_bench_stream.py", "test_faults.py", "test_full_disk.py", "test_packaging.py",
    "test_resegment.py", "test_segment_surprise.py", "test_serve.py", "test_show_plot.py",
    "test_surprises.py", "training",
    "test_cli.py::test_a_piped_document_is_answered_with_citations_to_the_character",
    "test_embed.py::test_a_model_in_the_hugging_face_cache_needs_no_network",
    "test_successive.py::test_the_program_skips_follow_ups_without_a_generating_engine",
)  # fmt: skip

# The real model of the tests, which `make .models/smollm2` installs.
MODELS = Path(os.environ.get("MEMAGENT_MODELS", Path(__file__).parents[1] / ".models"))
PROGRAM = Path(sys.executable).with_name("memagent")
Run = Callable[..., subprocess.CompletedProcess[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests."""
    for item in items:
        name = item.nodeid.removeprefix("tests/")
        if any(re.match(rf"{re.escape(slow)}(::|/|\[|$)", name) for slow in SLOW):
            item.add_marker("slow")


def warned(
    caplog: pytest.LogCaptureFixture, when: Literal["setup", "call", "teardown"] = "call"
) -> list[str]:
    """The warnings that memagent logged in one phase of a test."""
    return [
        record.getMessage()
        for record in caplog.get_records(when)
        if record.name.startswith("memagent") and record.levelno >= logging.WARNING
    ]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A new store."""
    made = Store(tmp_path / "memory.db")
    yield made
    made.close()


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    """The bundled embedder; its weights are loaded once for all tests."""
    return Embedder()


@pytest.fixture
def memory(
    store: Store, embedder: Embedder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> Iterator[Namespace]:
    """A memory over the new store; a warning that the test did not clear fails it."""
    yield Namespace(store, "default", embedder, tmp_path / "index")
    assert not warned(caplog, "setup") + warned(caplog, "call")


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The folder of SmolLM2-135M-Instruct: safetensors, tokenizer, and the GGUF file itself."""
    folder = MODELS / "smollm2"
    if not folder.is_dir():
        pytest.fail(f"{folder} is missing: make .models/smollm2")
    return folder


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment in which the program touches nothing outside the temporary folder."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MEMAGENT_")}
    return {
        **kept,
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "MEMAGENT_STORE": str(tmp_path / "memory.db"),
        "MEMAGENT_STATE": str(tmp_path / "state"),
        "MEMAGENT_MODELS": str(tmp_path / "models"),
        "MEMAGENT_ENGINE": "pocket",
        "MEMAGENT_EMBEDDER": "fake",
        "COLUMNS": "200",
    }


@pytest.fixture
def run(env: dict[str, str], tmp_path: Path) -> Run:
    """Run the program as a person does: `run("add", "notes.txt", stdin="…")`."""

    def call(
        *arguments: str | Path, stdin: str = "", **extra: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROGRAM, *map(str, arguments)],
            input=stdin,
            env={**env, **extra},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return call
