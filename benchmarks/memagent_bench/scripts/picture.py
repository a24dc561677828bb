"""Draw docs/session.svg: run the commands of the demo and show their output."""

import io
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[3]
SESSION = (
    ("memagent add python-reference.md", ""),
    ('memagent ask "How are chained comparisons evaluated?"', ""),
    ('memagent ask "Who won the football match on Sunday?"', ""),
    ("memagent chat -s monday", "My sister's cat is called Biscuit.\n"),
    ("memagent chat -s friday", "What is my sister's cat called?\n"),
)


def main() -> None:
    """Run the session in a temporary folder and write the picture."""
    folder = Path(tempfile.mkdtemp())
    script = ROOT / "examples" / "write_book.py"
    subprocess.run([sys.executable, script, folder / "python-reference.md"], check=True)
    env = {
        **os.environ,
        "MEMAGENT_STORE": str(folder / "memory.db"),
        "MEMAGENT_STATE": str(folder / "state"),
        "MEMAGENT_ENGINE": "pocket",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    console = Console(record=True, width=100, file=io.StringIO(), force_terminal=True)
    for command, typed in SESSION:
        console.print(Text(f"$ {command}", style="bold green"))
        if typed:
            console.print(Text(f"› {typed.strip()}", style="bold"))
        result = subprocess.run(
            shlex.split(command),
            input=typed,
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            check=True,
        )
        if result.stdout:
            console.print(Text(result.stdout.strip()))
        if result.stderr:
            console.print(Text(result.stderr.strip(), style="dim"))
        console.print()
    console.save_svg(str(ROOT / "docs" / "session.svg"), title="memagent")


if __name__ == "__main__":
    main()
