"""/memory and /plan: the session's working memory and its plan, line by line."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Literal

from memagent.chat.conversation import Conversation
from memagent.errors import InputError, NotFoundError, UsageError
from memagent.memory.working import Working

__all__ = ["memory", "plan"]

_VERBS = "show, edit, add LINE, diff, undo or drop N"


def memory(chat: Conversation, argument: str) -> None:
    """The working memory."""
    _run(chat, "memory", argument)


def plan(chat: Conversation, argument: str) -> None:
    """The plan."""
    _run(chat, "plan", argument)


def _run(chat: Conversation, kind: Literal["memory", "plan"], argument: str) -> None:
    working = Working(chat.memory.store, chat.session.source.id, kind)
    verb, _, rest = argument.partition(" ")
    rest = rest.strip()
    if verb in ("", "show"):
        _show(chat, working)
    elif verb == "diff":
        chat.screen.note("\n".join(working.diff()) or f"(the {kind} was never changed)")
    elif verb in ("add", "drop", "edit", "undo"):
        if verb == "add":
            _add(working, rest)
        elif verb == "drop":
            _drop(working, rest)
        elif verb == "undo":
            working.undo()
        elif not _edit(chat, working):
            chat.screen.note("(nothing was changed)")
            return
        _show(chat, working)
    else:
        raise UsageError(f"/{kind} does not know {verb!r}: say {_VERBS}")


def _show(chat: Conversation, working: Working) -> None:
    lines = [f"{number}. {line}" for number, line in enumerate(working.lines(), start=1)]
    empty = f"(the {working.kind} is empty: /{working.kind} add LINE)"
    chat.screen.note("\n".join(lines) or empty)


def _add(working: Working, text: str) -> None:
    if not text:
        raise UsageError(f"say what to add: /{working.kind} add LINE")
    working.replace([*working.lines(), *text.split("\n")], "add")


def _drop(working: Working, number: str) -> None:
    lines = working.lines()
    if not number.isascii() or not number.isdigit():
        raise UsageError(f"say the number of a line: /{working.kind} drop 1")
    if not 1 <= int(number) <= len(lines):
        raise NotFoundError(f"the {working.kind} has no line {number}: it has {len(lines)}")
    del lines[int(number) - 1]
    working.replace(lines, "drop")


def _edit(chat: Conversation, working: Working) -> bool:
    if not chat.reader.interactive:
        raise UsageError(f"edit needs a terminal: say /{working.kind} add LINE or drop N")
    before = "\n".join(working.lines())
    command = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if command:
        after: str | None = _in_editor(before, command)
        # Ctrl-C inside the editor was meant for the editor.
        chat.interrupts.take()
    else:
        chat.screen.note("(Escape and Enter keep the text, Ctrl-C leaves it as it was)")
        after = chat.reader.edit(before)
    if after is None or after.strip() == before:
        return False
    working.replace(after.split("\n"), "edit")
    return True


def _in_editor(text: str, command: str) -> str:
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
