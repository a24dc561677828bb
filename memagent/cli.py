"""The command line's table of contents; every command's own file parses, calls and prints."""

from __future__ import annotations

from typing import Annotated

import typer

from memagent import __version__
from memagent.commands import bench, config, memory, sessions, working
from memagent.commands.add import add
from memagent.commands.ask import ask
from memagent.commands.chat import chat
from memagent.commands.doctor import doctor
from memagent.commands.run import run
from memagent.commands.search import search
from memagent.commands.serve import serve
from memagent.commands.write import write

__all__ = ["app"]

app = typer.Typer(
    help="An agent for local language models whose memory does not end with the context window.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"memagent {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    return None


for command in (chat, ask, add, search, run, write):
    app.command()(command)
for verb in (working.lines, working.edit, working.diff, working.undo):
    memory.app.command()(verb)
app.add_typer(sessions.app, name="sessions")
app.add_typer(memory.app, name="memory")
app.add_typer(config.app, name="config")
app.command()(serve)
app.command()(doctor)
app.add_typer(bench.app, name="bench")
