"""A disk that fills up while a document is added: a real file system of two megabytes."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.test_cli import one_line


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a file system needs root; test_store.py fills a store by its pages")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_adding_to_a_full_disk_loses_nothing_and_goes_on_later(
    run: Run, small_disk: Path, tmp_path: Path
) -> None:
    store = {"MEMAGENT_STORE": str(small_disk / "memory.db")}
    (tmp_path / "first.txt").write_text("The boat is moored at pier seven.\n")
    assert run("add", "first.txt", **store).returncode == 0
    big = "".join(f"Line {n} of a long list of lines about nothing.\n" for n in range(60_000))
    (tmp_path / "big.txt").write_text(big)
    full = run("add", "big.txt", **store)
    assert full.returncode == 5, full.stderr
    assert "no room left on its disk" in one_line(full.stderr)
    assert run("memory", "check", **store).returncode == 0
    shown = run("memory", "show", "first.txt", **store)
    assert shown.stdout == "The boat is moored at pier seven.\n"

    subprocess.run(["mount", "-o", "remount,size=200m", small_disk], check=True)
    (tmp_path / "big.txt").write_text(big)
    stored = run("memory", "show", "big.txt", **store).stdout
    assert big.startswith(stored)
    assert stored
    # The text alone: embedding a list this long takes minutes and is not the point.
    from memagent.agent.workspace import Workspace
    from memagent.documents.ingest import ingest
    from memagent.documents.open import open_document
    from memagent.settings import Settings

    with Workspace(Settings(store=small_disk / "memory.db")) as workspace:
        document = open_document(tmp_path / "big.txt", name="big.txt")
        assert ingest(workspace.memory(), document).status == "resumed"
    assert run("memory", "show", "big.txt", **store).stdout == big
