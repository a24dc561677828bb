"""`memagent ask`: answer one question from memory and show the sources."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memagent.agent.reports import answer_object
from memagent.cli.commands import options
from memagent.cli.render.explain import print_explain
from memagent.cli.render.output import (
    console,
    outline_text,
    print_json,
    say,
    sources_text,
    visible,
    write,
)
from memagent.errors import UsageError

if TYPE_CHECKING:
    from memagent.types import Answer

__all__ = ["ask", "read_text"]


@options.settings("hops", "votes", "outline", *options.ENGINE)
def ask(
    question: Annotated[
        str | None, typer.Argument(help="The question; stdin if it is - or missing.")
    ] = None,
    session: Annotated[
        str | None, typer.Option("--session", "-s", help="Ask within this session.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--continue", "-c", help="Ask within the most recent session.")
    ] = False,
    source: options.SourceNames = None,
    since: options.Since = None,
    until: options.Until = None,
    as_of: options.AsOf = None,
    json: options.Json = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show why each event was recalled.")
    ] = False,
    **flags: Any,
) -> None:
    """Answer one question from memory and quote the stored text that supports it."""
    text = read_text(question)
    with options.open_memory(**flags) as memory:
        from memagent.agent.graph import ignore
        from memagent.memory.events import Filter

        where = Filter(since, until, source or (), as_of)
        name = session or (memory.newest_session() if follow else None)
        answer = memory.ask(text, where=where, session=name, on_text=ignore if json else write)
        if json:
            print_json(answer_object(answer, explain=explain))
        else:
            _show_end(answer, explain)
        if not answer.citations and not memory.namespace.events.count_after():
            say(memory.namespace.empty)
        if answer.state == "partial":
            say("interrupted: the partial answer is kept")
            raise typer.Exit(130)


def _show_end(answer: Answer, explain: bool) -> None:
    """Print what follows an answer: its outline, sources and explanation."""
    write("\n")
    if points := outline_text(answer):
        write(f"\n{points}\n")
    if lines := sources_text(answer):
        console(stderr=True).print(visible(lines), style="dim", markup=False)
    if explain:
        print_explain(answer.explain)


def read_text(argument: str | None) -> str:
    """The argument, or stdin when it is missing or -; UsageError when there is no text."""
    if argument is not None and argument != "-":
        text = argument
    elif sys.stdin.isatty():
        raise UsageError('no question: write memagent ask "your question"')
    else:
        text = sys.stdin.read()
    if not text.strip():
        raise UsageError('the question is empty: write memagent ask "your question"')
    return text.strip()
