"""SmolLM2-135M-Instruct, as `memagent model get smollm2` installs it, in this process."""

from __future__ import annotations

import hashlib
from pathlib import Path

from memagent.models.package import PACKAGED
from tests.conftest import Run

NOTES = """The ferry to Ruhnu leaves at 7:40 from pier 3.

Anna Lepik is the captain of the Albatross.
"""


def test_the_original_file_is_kept_beside_the_converted_one(smollm2: Path) -> None:
    content = (smollm2 / "model.gguf").read_bytes()
    assert hashlib.sha256(content).hexdigest() == PACKAGED["smollm2"].sha256
    assert (smollm2 / "chat_template.jinja").exists()


def test_a_chat_without_a_server_is_answered_from_memory(
    smollm2: Path, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text(NOTES)
    assert run("add", "notes.txt").returncode == 0
    models = {"MEMAGENT_MODELS": str(smollm2.parent)}
    asked = "Who is the captain of the Albatross?\nWhen does the ferry to Ruhnu leave?\n"
    flags = ("--engine", "stream", "-m", "smollm2", "--max-tokens", "40")
    done = run("chat", "-s", "talk", *flags, stdin=asked, **models)
    assert done.returncode == 0, done.stderr
    captain, _, ferry = done.stdout.partition("\n")
    assert "Anna Lepik" in captain and "7:40" in ferry
    assert "<|im_" not in done.stdout
    assert "memagent: loading smollm2 (269 MB)" in done.stderr
    assert "of the attention, notes.txt" in done.stderr
