"""A question passes few files on its way from the command line to the answer."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import Run

LIMIT = 30
QUESTION = "Who rebuilt the old pier?"


def test_a_question_passes_at_most_thirty_files(
    run: Run, env: dict[str, str], tmp_path: Path
) -> None:
    """Counts the files of the product with a function that is given the question.

    A function is given the question if one of its arguments, other than `self`, is a text that
    contains it, or a collection or an object of the product that holds such a text at most three
    levels down. The store holds documents and a conversation, and the `pocket` engine answers.
    """
    (tmp_path / "report.txt").write_text("Ada Krüger rebuilt the old pier in 1961.\n")
    (tmp_path / "gate.txt").write_text("The code of the north gate is 4711.\n")
    assert run("add", "report.txt", "gate.txt").returncode == 0
    assert run("chat", "-s", "monday", stdin="My cat is called Biscuit.\n").returncode == 0
    tracer = Path(__file__).with_name("question_tracer.py")
    done = subprocess.run(
        [sys.executable, tracer, QUESTION.rstrip("?"), "ask", QUESTION],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Ada Krüger" in done.stdout
    files = {line for line in done.stderr.splitlines() if line.endswith(".py")}
    assert {"memagent/cli/commands/ask.py", "memory/recall/search.py"} <= files
    assert any(file.startswith("memagent/engines/pocket/") for file in files)
    assert len(files) <= LIMIT, "\n".join(sorted(files))
