"""`memagent search`: show the events that a query recalls, without an answer."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from memagent.agent.reports import search_object
from memagent.cli.commands import options
from memagent.cli.commands.ask import read_text
from memagent.cli.render.explain import print_explain
from memagent.cli.render.output import console, print_json, say, visible, write

__all__ = ["search"]


@options.settings("namespace", "budget", "store")
def search(
    query: Annotated[
        str | None, typer.Argument(help="The query; stdin if it is - or missing.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="Show at most N events.", metavar="N")
    ] = 10,
    source: options.SourceNames = None,
    since: options.Since = None,
    until: options.Until = None,
    as_of: options.AsOf = None,
    json: options.Json = False,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Show ranks, reasons and tokens, and what was left out."),
    ] = False,
    **flags: Any,
) -> None:
    """Show the stored text that a query recalls, best first."""
    text = read_text(query)
    with options.open_memory(**flags) as memory:
        from memagent.memory.events import Filter

        found = memory.recall(text, where=Filter(since, until, source or (), as_of))
        if json:
            print_json(search_object(found, limit, explain=explain))
            return
        best = found.best[:limit]
        if not best:
            then = "that was known then " if as_of else ""
            known = memory.namespace.events.count_after()
            say(f"nothing in memory {then}matches" if known else memory.namespace.empty)
        out = console()
        for hit in best:
            place = f"{hit.event.place} · {hit.note}" if hit.note else hit.event.place
            out.print(visible(place), style="bold", markup=False)
            write(hit.event.text.strip() + "\n\n")
        if explain:
            print_explain(found.report())
