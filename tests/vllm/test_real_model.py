"""A model that answers in sentences on a real vLLM: SmolLM2-135M-Instruct."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Run
from tests.vllm.serving import serving

pytestmark = pytest.mark.vllm

NOTE = "Anna Lepik is the captain of the Albatross."


def test_an_installed_model_is_served_by_its_name_and_answers(
    smollm2: Path, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "note.txt").write_text(NOTE)
    assert run("add", "note.txt").returncode == 0
    models = {"MEMAGENT_MODELS": str(smollm2.parent)}
    state = tmp_path / "served"
    with serving("smollm2", state, "--context", "2048", **models) as server:
        asked = ("Who is the captain of the Albatross?", "--engine", "vllm", "-m", "smollm2")
        done = run("ask", *asked, "--url", server.url, **models)
        assert done.returncode == 0, done.stderr
        assert "Anna Lepik" in done.stdout
        assert "<|im_" not in done.stdout
