"""Text in the editor of VISUAL or EDITOR; knows nothing of what the text is."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from memagent.errors import InputError

__all__ = ["editor", "in_editor"]


def editor() -> str | None:
    """The command of the editor that the environment names."""
    return os.environ.get("VISUAL") or os.environ.get("EDITOR")


def in_editor(text: str, command: str) -> str:
    """The text as it was left in the editor; InputError where that did not work."""
    with tempfile.TemporaryDirectory(prefix="memagent-") as folder:
        path = Path(folder) / "lines.txt"
        path.write_text(text + "\n" if text else "", encoding="utf-8")
        try:
            code = subprocess.run([*shlex.split(command), str(path)], check=False).returncode
            edited = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise InputError(
                f"the editor {command!r} did not work ({error}): set EDITOR to another"
            ) from error
    if code != 0:
        raise InputError(f"the editor {command!r} ended with code {code}: nothing was changed")
    return edited
