"""`memagent memory lines, edit, diff, undo`: the working memory and plan of a session."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memagent.cli.commands import options
from memagent.cli.render.output import print_json, say, write
from memagent.errors import UsageError

if TYPE_CHECKING:
    from memagent.agent.workspace import Workspace
    from memagent.memory.store.working import Working

__all__ = ["diff", "edit", "lines", "undo"]

Session = Annotated[str, typer.Argument(help="Name of the session.")]
Plan = Annotated[bool, typer.Option("--plan", help="Use the plan, not the working memory.")]


@options.settings("namespace", "store")
def lines(
    name: Session,
    plan: Plan = False,
    history: Annotated[
        bool, typer.Option("--history", help="Show every version and the reason for it.")
    ] = False,
    json: options.Json = False,
    **flags: Any,
) -> None:
    """Show the working memory of a session, line by line."""
    with options.open_workspace(**flags) as workspace:
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


@options.settings("namespace", "store")
def edit(
    name: Session,
    plan: Plan = False,
    source: Annotated[
        str | None, typer.Option("--from", help="Read the new lines from a file, or - for stdin.")
    ] = None,
    **flags: Any,
) -> None:
    """Edit the working memory of a session in $EDITOR, or replace it with the lines of a file."""
    from memagent.cli.editing import edit_text, has_editor

    given = None if source is None else options.read_file(source)
    with options.open_workspace(**flags) as workspace:
        working = _working(workspace, name, plan)
        before = working.lines()
        if given is None:
            if not has_editor() or not sys.stdin.isatty():
                raise UsageError("there is no editor: set EDITOR, or give the lines with --from -")
            given = edit_text("\n".join(before))
        after = [line.strip() for line in (given or "").split("\n") if line.strip()]
        if given is None or after == before:
            say("nothing was changed")
            return
        say(f"version {working.replace(after, 'edit')} of the {working.kind} of {name!r}")


@options.settings("namespace", "store")
def diff(
    name: Session,
    plan: Plan = False,
    **flags: Any,
) -> None:
    """Show what the last change of the working memory did."""
    with options.open_workspace(**flags) as workspace:
        working = _working(workspace, name, plan)
        if not working.version:
            say(f"the {working.kind} of {name!r} was never changed")
        write("".join(line + "\n" for line in working.diff()))


@options.settings("namespace", "store")
def undo(
    name: Session,
    plan: Plan = False,
    **flags: Any,
) -> None:
    """Undo the last change of the working memory."""
    with options.open_workspace(**flags) as workspace:
        working = _working(workspace, name, plan)
        say(f"version {working.undo()} of the {working.kind} of {name!r}")


def _working(workspace: Workspace, name: str, plan: bool) -> Working:
    from memagent.memory.store.working import Working

    session = workspace.memory().sources.get(name, "session")
    return Working(workspace.store, session.id, "plan" if plan else "memory")
