"""The command line: registers every command, sets up logging, turns errors into exit codes."""

from __future__ import annotations

import inspect
import re
import sys
from importlib.metadata import entry_points
from typing import Annotated

import typer

from memagent import __version__
from memagent.cli.commands import config, memory, model, sessions, working
from memagent.cli.commands.add import add
from memagent.cli.commands.ask import ask
from memagent.cli.commands.chat import chat
from memagent.cli.commands.doctor import doctor
from memagent.cli.commands.run import run
from memagent.cli.commands.search import search
from memagent.cli.commands.serve import serve
from memagent.cli.commands.write import write
from memagent.cli.log import configure_logging
from memagent.cli.render.output import say
from memagent.errors import MemagentError

__all__ = ["app", "main"]

app = typer.Typer(
    help="An agent for local language models whose memory outlasts the context window.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"memagent {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print debugging messages on stderr.")
    ] = False,
) -> None:
    configure_logging(verbose=verbose)


def _join_help_lines(group: typer.Typer) -> None:
    """Let the terminal wrap the paragraphs of docstrings, whose line ends typer would keep."""
    for command in group.registered_commands:
        text = inspect.cleandoc(command.help or getattr(command.callback, "__doc__", None) or "")
        command.help = re.sub(r"(?<!\n)\n(?!\n)", " ", text)
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            _join_help_lines(inner.typer_instance)


for command in (chat, ask, add, search, run, write):
    app.command()(command)
for verb in (working.lines, working.edit, working.diff, working.undo):
    memory.app.command()(verb)
app.add_typer(sessions.app, name="sessions")
app.add_typer(memory.app, name="memory")
app.add_typer(model.app, name="model")
app.add_typer(config.app, name="config")
app.command()(serve)
app.command()(doctor)
_join_help_lines(app)
for plugin in entry_points(group="memagent.commands"):
    try:
        app.add_typer(plugin.load(), name=plugin.name)
    except Exception as error:
        say(f"the command {plugin.name} ({plugin.value}) cannot be loaded: {error}")


def main() -> None:
    """Run memagent; an error is printed in one line and gives the exit code."""
    try:
        app(prog_name="memagent")
    except MemagentError as error:
        say(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)
