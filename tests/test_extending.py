"""The diffs of docs/extending.md, applied to a copy of the product."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "extending.md").read_text()
# What the lines of the tables need; the page leaves imports to the reader.
IMPORTS = {
    "memagent/documents/formats/table.py": "from memagent.documents.formats import srt",
    "memory/recall/signals/table.py": "from memagent.memory.recall.signals.digits import Digits",
    "memagent/streaming/selectors/table.py": (
        "from memagent.streaming.selectors.loudest_head import LoudestHead"
    ),
}
PROGRAM = """\
import memagent
from memagent.documents.formats.table import FORMATS
from memagent.memory.recall.signals.table import SIGNALS
from memagent.streaming.selectors.table import SELECTORS

assert memagent.__file__.startswith({where!r})
with memagent.open("m.db", engine="echo", embedder="fake") as memory:
    with open("film.srt", "w") as film:
        film.write("1\\n00:00:01,000 --> 00:00:02,000\\nThe lighthouse is on fire.\\n")
    memory.add("film.srt")
    answer = memory.ask("What is on fire?")
    assert answer.text.strip() == '"The lighthouse is on fire." [1]', answer.text
    assert answer.citations[0].verified
assert "SubRip" in [each.name for each in FORMATS]
assert "digits" in [each.name for each in SIGNALS]
assert "loudest_head" in SELECTORS
"""


def _apply(diff: str, folder: Path) -> None:
    for part in re.split(r"^--- ", diff, flags=re.MULTILINE)[1:]:
        head, _, body = part.partition("\n+++ b/")
        path, _, rest = body.partition("\n")
        added = [line[1:] for line in rest.splitlines() if line.startswith("+")]
        target = folder / path
        if head == "/dev/null":
            target.write_text("\n".join(added) + "\n")
            continue
        (name,) = re.findall(r"^@@ (\w+)$", rest, re.MULTILINE)
        lines = target.read_text().splitlines()
        start = next(n for n, line in enumerate(lines) if re.match(rf"{name}\b.*=", line))
        end = next(n for n in range(start, len(lines)) if lines[n][:1] in ")]}")
        lines[end:end] = added
        if path in IMPORTS:
            future = lines.index("from __future__ import annotations")
            lines.insert(future + 1, IMPORTS[path])
        target.write_text("\n".join(lines) + "\n")


def test_the_diffs_apply_and_do_what_they_say(env: dict[str, str], tmp_path: Path) -> None:
    for name in ("memagent", "memory", "kernels", "prompts"):
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True)
    diffs = re.findall(r"```diff\n(.*?)```", PAGE, re.DOTALL)
    assert len(diffs) == 4
    for diff in diffs:
        _apply(diff, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(where=str(tmp_path))],
        env={**env, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
