"""/memory and /plan: edit the lines that a session keeps, or let the model update them."""

from __future__ import annotations

from typing import Literal, Protocol

from memagent.cli.chat.conversation import Conversation
from memagent.cli.chat.input import Reader
from memagent.cli.chat.interrupts import Interrupts
from memagent.cli.chat.screen import Screen
from memagent.cli.editing import edit_text, has_editor
from memagent.errors import NotFoundError, UsageError
from memagent.memory.store.spans import Spans
from memagent.memory.store.working import Line, Working

__all__ = ["UserInterface", "edit_by_hand", "edit_lines", "edit_memory", "edit_plan"]

_VERBS = "show, edit, add LINE, diff, undo or drop N"


class UserInterface(Protocol):
    """What is needed to show lines to the user and let them edit the lines."""

    screen: Screen
    reader: Reader
    interrupts: Interrupts


def edit_memory(chat: Conversation, argument: str) -> None:
    """Show or change the working memory of the session."""
    _run(chat, "memory", argument)


def edit_plan(chat: Conversation, argument: str) -> None:
    """Show or change the plan of the session."""
    _run(chat, "plan", argument)


def edit_lines(ui: UserInterface, working: Working, argument: str, verbs: str = _VERBS) -> None:
    """Carry out the verb in `argument`, which is one of `verbs`, and show the lines."""
    kind = working.kind
    verb, _, rest = argument.partition(" ")
    rest = rest.strip()
    if verb in ("", "show"):
        _show(ui, working)
    elif verb == "diff":
        ui.screen.note("\n".join(working.diff()) or f"(the {kind} was never changed)")
    elif verb in ("add", "drop", "edit", "undo"):
        if verb == "add":
            _add(working, rest)
        elif verb == "drop":
            _drop(working, rest)
        elif verb == "undo":
            working.undo()
        elif not _edit(ui, working):
            ui.screen.note("(nothing was changed)")
            return
        _show(ui, working)
    else:
        raise UsageError(f"/{kind} has no action {verb!r}: use {verbs}")


def edit_by_hand(ui: UserInterface, text: str) -> str | None:
    """Let the user edit `text` in an editor or at the prompt; None if they cancelled."""
    if not has_editor():
        ui.screen.note("(Escape and Enter keep the changes, Ctrl-C discards them)")
        return ui.reader.edit(text)
    try:
        return edit_text(text)
    finally:
        # Ctrl-C inside the editor was meant for the editor.
        ui.interrupts.reset()


def _run(chat: Conversation, kind: Literal["memory", "plan"], argument: str) -> None:
    working = Working(chat.memory.store, chat.session.source.id, kind)
    if argument == "update":
        _update(chat, working)
        _show(chat, working)
    else:
        edit_lines(chat, working, argument, f"update, {_VERBS}")


def _update(chat: Conversation, working: Working) -> None:
    from memagent.writing.update import update

    agent = chat.session.agent
    chat.interrupts.reset()
    try:
        with chat.interrupts.armed():
            why = update(chat.memory, agent.engine, agent.settings, working)
    except KeyboardInterrupt:
        chat.interrupts.reset()
        chat.screen.stopped(f"(stopped; the {working.kind} is unchanged)")
    else:
        chat.screen.note("\n".join(why) or "(the model changed nothing)")


def _show(ui: UserInterface, working: Working) -> None:
    ordinals = {span.id: span.ordinal + 1 for span in Spans(working.store).of(working.session_id)}
    lines = [
        f"{number}. {line.text}{_sources(line, ordinals)}"
        for number, line in enumerate(working.sourced(), start=1)
    ]
    ui.screen.note("\n".join(lines) or f"(the {working.kind} is empty: /{working.kind} add LINE)")


def _sources(line: Line, ordinals: dict[int, int]) -> str:
    """The turns that a line comes from; the first turn of the session is turn 1."""
    turns = sorted(ordinals[span] for span in line.sources if span in ordinals)
    if not turns:
        return ""
    last = f"-{turns[-1]}" if len(turns) > 1 else ""
    return f"  (turn{'s' if last else ''} {turns[0]}{last})"


def _add(working: Working, text: str) -> None:
    if not text:
        raise UsageError(f"give the line to add: /{working.kind} add LINE")
    working.replace([*working.sourced(), *text.split("\n")], "add")


def _drop(working: Working, number: str) -> None:
    lines = list(working.sourced())
    if not number.isascii() or not number.isdigit():
        raise UsageError(f"give the number of a line: /{working.kind} drop 1")
    if not 1 <= int(number) <= len(lines):
        raise NotFoundError(f"the {working.kind} has no line {number}: it has {len(lines)}")
    del lines[int(number) - 1]
    working.replace(lines, "drop")


def _edit(ui: UserInterface, working: Working) -> bool:
    if not ui.reader.interactive:
        raise UsageError(f"edit needs a terminal: use /{working.kind} add LINE or drop N")
    before = "\n".join(working.lines())
    after = edit_by_hand(ui, before)
    if after is None or after.strip() == before:
        return False
    working.replace(after.split("\n"), "edit")
    return True
