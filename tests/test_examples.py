"""Run each example unchanged, in its own folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
SAYS = {
    "remember.py": "Biscuit",
    "cited_answer.py": "verified: characters",
    "own_engine.py": "THE FERRY LEAVES AT HALF PAST SIX.",
    "namespaces.py": "anna -> I hid the present for Emil under the stairs.",
    "batch.sh": '"id": "found"',
}


@pytest.mark.parametrize("name", sorted(SAYS))
def test_example_says_what_it_promises(name: str, env: dict[str, str], tmp_path: Path) -> None:
    path = EXAMPLES / name
    program = [sys.executable] if path.suffix == ".py" else ["sh"]
    bin_folder = str(Path(sys.executable).parent)
    result = subprocess.run(
        [*program, path],
        env={**env, "PATH": f"{bin_folder}{os.pathsep}{env['PATH']}", "TMPDIR": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert SAYS[name] in result.stdout


def test_the_book_is_whole(tmp_path: Path) -> None:
    from pydoc_data.topics import topics

    path = tmp_path / "book.md"
    subprocess.run([sys.executable, EXAMPLES / "write_book.py", path], check=True)
    text = path.read_text()
    assert len(text.split()) > 60_000
    assert all(f"# {name}\n" in text for name in topics)


def test_every_example_is_tested() -> None:
    tested = {*SAYS, "write_book.py", "demo.sh", "batch.jsonl"}
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == tested
    for line in (EXAMPLES / "batch.jsonl").read_text().splitlines():
        assert json.loads(line)["op"]
