"""`memagent sessions`: list and show stored conversations."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from memagent.cli.commands import options
from memagent.cli.render.output import console, print_json, say, write

__all__ = ["app"]

app = typer.Typer(help="List and show stored conversations.", no_args_is_help=True)


@app.command("list")
@options.settings("namespace", "store")
def list_sessions(
    json: options.Json = False,
    **flags: Any,
) -> None:
    """List the sessions of the namespace, newest first."""
    with options.open_memory(**flags) as opened:
        memory = opened.namespace
        rows = [
            {
                "name": session.name,
                "turns": memory.spans.count(session.id),
                "chars": session.chars,
                "created": session.created,
                "updated": session.updated,
            }
            for session in opened.sessions()
        ]
        if json:
            print_json(rows)
            return
        if not rows:
            say(f"no session in the namespace {memory.namespace!r}: start one with memagent chat")
        for row in rows:
            when = str(row["updated"])[:16].replace("T", " ")
            console().print(f"{row['name']}  {row['turns']} turns  {when}", markup=False)


@app.command()
@options.settings("namespace", "store")
def show(
    name: Annotated[str, typer.Argument(help="Name of the session.")],
    json: options.Json = False,
    **flags: Any,
) -> None:
    """Show all turns of a session, word for word."""
    with options.open_workspace(**flags) as workspace:
        memory = workspace.memory()
        spans = memory.spans.of(memory.sources.get(name, "session").id)
        if json:
            print_json([asdict(span) for span in spans])
            return
        out = console()
        for span in spans:
            mark = " (withdrawn)" if span.withdrawn else ""
            out.print(f"{span.role}{mark}  {span.time[:19].replace('T', ' ')}", style="bold")
            write(span.text + "\n\n")
