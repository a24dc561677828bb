"""The snippets of the page on the Python API run, in order, as one program."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fpdf import FPDF

ROOT = Path(__file__).parent.parent
SNIPPET = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("page", ["docs/python-api.md", "README.md"])
def test_the_snippets_run(page: str, env: dict[str, str], tmp_path: Path) -> None:
    snippets = SNIPPET.findall((ROOT / page).read_text())
    assert snippets
    report = FPDF()
    report.add_page()
    report.set_font("helvetica")
    report.cell(text="Ada rebuilt the pier in 1961.")
    report.output(str(tmp_path / "report.pdf"))
    program = tmp_path / "program.py"
    program.write_text("\n".join(snippets))
    done = subprocess.run(
        [sys.executable, program],
        env={**os.environ, **env},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
