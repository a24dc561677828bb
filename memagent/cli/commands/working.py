"""`memagent memory lines, edit, diff, undo`: the working memory and the plan of a session."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from memagent.cli.commands import options
from memagent.cli.render.output import print_json, say, write
from memagent.errors import UsageError

if TYPE_CHECKING:
    from memagent.agent.workspace import Workspace
    from memagent.memory.store.working import Working

__all__ = ["diff", "edit", "lines", "undo"]

Session = Annotated[str, typer.Argument(help="Name of the session.")]
Plan = Annotated[bool, typer.Option("--plan", help="The plan instead of the working memory.")]


def lines(
    name: Session,
    plan: Plan = False,
    history: Annotated[
        bool, typer.Option("--history", help="Every version, with why it was made.")
    ] = False,
    json: options.Json = False,
    namespace: options.NamespaceName = None,
    store: options.StorePath = None,
) -> None:
    """The working memory of a session, line by line."""
    with options.open_workspace(namespace=namespace, store=store) as workspace:
        working = _working(workspace, name, plan)
        versions = working.history()
        if json:
            shown = [
                {
                    "version": version.number,
                    "created": version.created,
                    "reason": version.reason,
                    "lines": [
                        {"text": line.text, "sources": list(line.sources)} for line in version.lines
                    ],
                }
                for version in (versions if history else versions[-1:])
            ]
            print_json({"session": name, "kind": working.kind, "versions": shown})
            return
        if not versions:
            say(f"the {working.kind} of {name!r} is empty: memagent memory edit {name!r}")
        for version in versions if history else versions[-1:]:
            if history:
                when = version.created[:16].replace("T", " ")
                write(f"version {version.number}, {when}: {version.reason}\n")
            write("".join(f"{n}. {line.text}\n" for n, line in enumerate(version.lines, start=1)))


def edit(
    name: Session,
    plan: Plan = False,
    source: Annotated[
        str | None, typer.Option("--from", help="File of the new lines; - for stdin.")
    ] = None,
    namespace: options.NamespaceName = None,
    store: options.StorePath = None,
) -> None:
    """Edit the lines in $EDITOR, or take them from a file; what comes next uses them."""
    from memagent.cli.editor import editor, in_editor

    given = None if source is None else options.read_file(source)
    with options.open_workspace(namespace=namespace, store=store) as workspace:
        working = _working(workspace, name, plan)
        before = working.lines()
        if given is None:
            command = editor()
            if command is None or not sys.stdin.isatty():
                raise UsageError("there is no editor: set EDITOR, or give the lines with --from -")
            given = in_editor("\n".join(before), command)
        after = [line.strip() for line in given.split("\n") if line.strip()]
        if after == before:
            say("nothing was changed")
            return
        say(f"version {working.replace(after, 'edit')} of the {working.kind} of {name!r}")


def diff(
    name: Session,
    plan: Plan = False,
    namespace: options.NamespaceName = None,
    store: options.StorePath = None,
) -> None:
    """What the last change did."""
    with options.open_workspace(namespace=namespace, store=store) as workspace:
        working = _working(workspace, name, plan)
        if not working.version:
            say(f"the {working.kind} of {name!r} was never changed")
        write("".join(line + "\n" for line in working.diff()))


def undo(
    name: Session,
    plan: Plan = False,
    namespace: options.NamespaceName = None,
    store: options.StorePath = None,
) -> None:
    """Go back to the lines before the last change."""
    with options.open_workspace(namespace=namespace, store=store) as workspace:
        working = _working(workspace, name, plan)
        say(f"version {working.undo()} of the {working.kind} of {name!r}")


def _working(workspace: Workspace, name: str, plan: bool) -> Working:
    from memagent.memory.store.working import Working

    session = workspace.memory().sources.get(name, "session")
    return Working(workspace.store, session.id, "plan" if plan else "memory")
