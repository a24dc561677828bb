"""/memory and /plan: lines that a session keeps, edited by hand or rewritten by the model.

`change` serves whatever holds lines on a screen; it knows nothing of turns and answers.
"""

from __future__ import annotations

from typing import Literal, Protocol

from memagent.cli.chat.conversation import Conversation, Reader
from memagent.cli.chat.interrupts import Interrupts
from memagent.cli.chat.screen import Screen
from memagent.cli.editor import editor, in_editor
from memagent.errors import NotFoundError, UsageError
from memagent.memory.store.spans import Spans
from memagent.memory.store.working import Line, Working

__all__ = ["Desk", "change", "edited", "memory", "plan"]

_VERBS = "show, edit, add LINE, diff, undo or drop N"


class Desk(Protocol):
    """Where lines are shown and typed."""

    screen: Screen
    reader: Reader
    interrupts: Interrupts


def memory(chat: Conversation, argument: str) -> None:
    """The working memory."""
    _run(chat, "memory", argument)


def plan(chat: Conversation, argument: str) -> None:
    """The plan."""
    _run(chat, "plan", argument)


def change(desk: Desk, working: Working, argument: str, verbs: str = _VERBS) -> None:
    """Show the lines, or carry out what `argument` says and show them then."""
    kind = working.kind
    verb, _, rest = argument.partition(" ")
    rest = rest.strip()
    if verb in ("", "show"):
        _show(desk, working)
    elif verb == "diff":
        desk.screen.note("\n".join(working.diff()) or f"(the {kind} was never changed)")
    elif verb in ("add", "drop", "edit", "undo"):
        if verb == "add":
            _add(working, rest)
        elif verb == "drop":
            _drop(working, rest)
        elif verb == "undo":
            working.undo()
        elif not _edit(desk, working):
            desk.screen.note("(nothing was changed)")
            return
        _show(desk, working)
    else:
        raise UsageError(f"/{kind} does not know {verb!r}: say {verbs}")


def edited(desk: Desk, text: str) -> str | None:
    """The text as a person leaves it in their editor or at the prompt; None if they gave up."""
    command = editor()
    if command is None:
        desk.screen.note("(Escape and Enter keep the text, Ctrl-C leaves it as it was)")
        return desk.reader.edit(text)
    after = in_editor(text, command)
    # Ctrl-C inside the editor was meant for the editor.
    desk.interrupts.take()
    return after


def _run(chat: Conversation, kind: Literal["memory", "plan"], argument: str) -> None:
    working = Working(chat.memory.store, chat.session.source.id, kind)
    if argument == "update":
        _update(chat, working)
        _show(chat, working)
    else:
        change(chat, working, argument, f"update, {_VERBS}")


def _update(chat: Conversation, working: Working) -> None:
    from memagent.writing.update import update

    agent = chat.session.agent
    chat.interrupts.take()
    try:
        with chat.interrupts.armed():
            why = update(chat.memory, agent.engine, agent.settings, working)
    except KeyboardInterrupt:
        chat.interrupts.take()
        chat.screen.stopped(f"(stopped; the {working.kind} is unchanged)")
    else:
        chat.screen.note("\n".join(why) or "(the model changed nothing)")


def _show(desk: Desk, working: Working) -> None:
    ordinals = {span.id: span.ordinal + 1 for span in Spans(working.store).of(working.session_id)}
    lines = [
        f"{number}. {line.text}{_sources(line, ordinals)}"
        for number, line in enumerate(working.sourced(), start=1)
    ]
    desk.screen.note("\n".join(lines) or f"(the {working.kind} is empty: /{working.kind} add LINE)")


def _sources(line: Line, ordinals: dict[int, int]) -> str:
    """Which turns a line comes from, the turns of the session counted from 1."""
    turns = sorted(ordinals[span] for span in line.sources if span in ordinals)
    if not turns:
        return ""
    last = f"-{turns[-1]}" if len(turns) > 1 else ""
    return f"  (turn{'s' if last else ''} {turns[0]}{last})"


def _add(working: Working, text: str) -> None:
    if not text:
        raise UsageError(f"say what to add: /{working.kind} add LINE")
    working.replace([*working.sourced(), *text.split("\n")], "add")


def _drop(working: Working, number: str) -> None:
    lines = list(working.sourced())
    if not number.isascii() or not number.isdigit():
        raise UsageError(f"say the number of a line: /{working.kind} drop 1")
    if not 1 <= int(number) <= len(lines):
        raise NotFoundError(f"the {working.kind} has no line {number}: it has {len(lines)}")
    del lines[int(number) - 1]
    working.replace(lines, "drop")


def _edit(desk: Desk, working: Working) -> bool:
    if not desk.reader.interactive:
        raise UsageError(f"edit needs a terminal: say /{working.kind} add LINE or drop N")
    before = "\n".join(working.lines())
    after = edited(desk, before)
    if after is None or after.strip() == before:
        return False
    working.replace(after.split("\n"), "edit")
    return True
