"""How many parameters a served model has."""

from __future__ import annotations

from pathlib import Path

import pytest

from memagent.engines.openai.size import model_size


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("Qwen/Qwen2.5-Coder-1.5B-Instruct", 1.5),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 0.135),
        ("llama3.2:3b", 3.0),
        ("llama3:70b-instruct-q4_K_M", 70.0),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", 56.0),
        ("qwen2.5-coder-0.5b", 0.5),
        ("gemma-3-270m-it", 0.27),
        ("gpt-4o", None),
        ("llama3.2:latest", None),
        ("my-4bit-model", None),
    ],
)
def test_the_size_is_read_from_the_name(name: str, billions: float | None) -> None:
    assert model_size({"id": name}) == (None if billions is None else pytest.approx(billions))


def test_a_count_from_the_server_comes_first() -> None:
    listed = {"id": "some-7b", "meta": {"n_params": 494_000_000}}
    assert model_size(listed) == pytest.approx(0.494)


def test_the_weights_of_a_local_folder_are_measured(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 2_000_000)
    assert model_size({"id": "x", "root": str(tmp_path)}) == pytest.approx(0.001)


def test_nothing_known_is_none() -> None:
    assert model_size({"id": "x", "root": "/nowhere/model", "meta": None}) is None
