"""What README and docs say is what the program has: commands, options, files, figures."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from memagent.cli.app import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND = re.compile(r"\bmemagent ((?:[a-z]+ ?)+)((?:[^`\n#|)]|(?<=\S)#)*)")


def _find(words):
    """The command that the words name, as far as they name one."""
    command = root = typer.main.get_command(app)
    for word in words:
        inner = getattr(command, "commands", {})
        if word not in inner:
            break
        command = inner[word]
    return None if command is root else command


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_documented_commands_and_options_exist(page: Path) -> None:
    snippets = re.findall(r"`([^`\n]+)`", page.read_text())
    snippets += [
        line
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
        for line in block.splitlines()
    ]
    for snippet in snippets:
        for match in COMMAND.finditer(snippet):
            command = _find(match[1].split())
            assert command, f"{page.name}: no command in {snippet!r}"
            known = {option for p in command.params for option in p.opts}
            # What stands after -- is another program's.
            for option in re.findall(r"(?<!\S)(--?[a-z][a-z-]*)", match[2].split(" -- ")[0]):
                assert option in {*known, "--help"}, f"{page.name}: {snippet!r} has {option}"


def test_every_file_of_the_tree_in_the_readme_exists() -> None:
    tree = re.search(r"```\n(memagent/ .*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert tree
    folder = ROOT
    for line in tree[1].splitlines():
        name = line.split()[0]
        if not line.startswith(" "):
            folder = ROOT / name
            assert folder.is_dir(), name
        for part in re.findall(r"[\w./*]+(?:\.py|/)(?=[\s,;])", line):
            assert list(folder.parent.glob(part)) or list(folder.glob(part)), line


def test_tables_are_those_of_the_results() -> None:
    command = [sys.executable, "-m", "memagent_bench.scripts.tables", "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"run python -m memagent_bench.scripts.tables: {result.stdout}"
