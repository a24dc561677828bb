"""The command line's table of contents; every command's own file parses, calls and prints."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from typing import Annotated

import typer

from memagent import __version__
from memagent.cli.commands import config, memory, sessions, working
from memagent.cli.commands.add import add
from memagent.cli.commands.ask import ask
from memagent.cli.commands.chat import chat
from memagent.cli.commands.doctor import doctor
from memagent.cli.commands.run import run
from memagent.cli.commands.search import search
from memagent.cli.commands.serve import serve
from memagent.cli.commands.write import write
from memagent.cli.render.output import say
from memagent.errors import MemagentError

__all__ = ["app", "main"]

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
for plugin in entry_points(group="memagent.commands"):
    app.add_typer(plugin.load(), name=plugin.name)


def main() -> None:
    """Run memagent and turn every error into one line and an exit code."""
    try:
        app(prog_name="memagent")
    except MemagentError as error:
        say(" ".join(str(error).split("\n")))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)
