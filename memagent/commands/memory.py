"""`memagent memory`: what is stored, and taking care of it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from memagent.commands import options
from memagent.errors import StoreError, UsageError
from memagent.output import console, print_json, say, write

__all__ = ["app"]

app = typer.Typer(help="Stored text: list, show, forget, rebuild, check.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of a document or session.")]


@app.command("list")
def list_sources(
    json: options.Json = False,
    namespaces: Annotated[
        bool, typer.Option("--namespaces", help="Namespaces instead of documents.")
    ] = False,
    namespace: options.Namespace = None,
    store: options.StorePath = None,
) -> None:
    """The documents and sessions of the namespace."""
    with options.open_workspace(namespace=namespace, store=store) as workspace:
        memory = workspace.memory()
        out = console()
        if namespaces:
            rows = memory.sources.namespaces(workspace.store)
            if json:
                print_json(rows)
                return
            for row in rows:
                counts = f"{row['documents']} documents  {row['sessions']} sessions"
                out.print(f"{row['name']}  {counts}  {row['chars']:,} characters", markup=False)
            return
        sources = memory.sources.all()
        if json:
            print_json([asdict(source) for source in sources])
            return
        if not sources:
            say(memory.empty)
        for source in sources:
            state = "" if source.complete else "  (incomplete: add it again)"
            out.print(
                f"{source.name}  {source.kind}  {source.chars:,} characters{state}", markup=False
            )


@app.command()
def show(
    name: Name,
    start: Annotated[int, typer.Option("--start", min=0, help="First character.")] = 0,
    end: Annotated[int | None, typer.Option("--end", min=0, help="Behind the last one.")] = None,
    events: Annotated[bool, typer.Option("--events", help="Cut into its events.")] = False,
    json: options.Json = False,
    namespace: options.Namespace = None,
    store: options.StorePath = None,
) -> None:
    """The stored text of a document or session, character for character."""
    with options.open_workspace(namespace=namespace, store=store) as workspace:
        memory = workspace.memory()
        source = memory.sources.get(name)
        if events:
            found = memory.events.of(source.id)
            if json:
                print_json([asdict(event) for event in found])
                return
            for event in found:
                write(f"[{event.start}-{event.end}] {event.text}\n\n")
            return
        text = memory.spans.text(source.id, start, end)
        if json:
            print_json({**asdict(source), "start": start, "end": start + len(text), "text": text})
        else:
            write(text)


@app.command()
def forget(
    name: Name,
    start: Annotated[int | None, typer.Option("--start", min=0, help="First character.")] = None,
    end: Annotated[int | None, typer.Option("--end", min=0, help="Behind the last one.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    namespace: options.Namespace = None,
    store: options.StorePath = None,
) -> None:
    """Overwrite stored text, and every quote of it in answers. This cannot be undone."""
    from memagent.chat.history import ChatHistory
    from memagent.memory.forget import forget_range, forget_source

    with options.open_workspace(namespace=namespace, store=store) as workspace:
        memory = workspace.memory()
        source = memory.sources.get(name)
        whole = start is None and end is None
        a, b = start or 0, source.chars if end is None else min(end, source.chars)
        if a >= b:
            raise UsageError(
                f"nothing lies between {a} and {b}: {name} has {source.chars} characters"
            )
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError("forgetting cannot be undone: say --yes")
            typer.confirm(f"Forget {b - a:,} characters of {name}?", abort=True, err=True)
        lost = memory.spans.text(source.id, a, b)
        if whole:
            forgotten = forget_source(workspace.store, memory.events, source)
        else:
            forgotten = forget_range(workspace.store, memory.events, source.id, a, b)
        memory.purge()
        ChatHistory(workspace.settings.state_dir).forget(lost)
        say(f"forgot {forgotten:,} characters of {name}")


@app.command()
def rebuild(
    segmenter: options.Segmenter = None,
    namespace: options.Namespace = None,
    store: options.StorePath = None,
) -> None:
    """Make events, words, vectors and index anew from the text; of all namespaces by default."""
    from memagent.memory.sources import Sources

    flags = {"namespace": namespace, "store": store, "segmenter": segmenter}
    with options.open_workspace(**flags) as workspace:
        names = [row["name"] for row in Sources.namespaces(workspace.store)]
        for name in [namespace] if namespace else names:
            memory = workspace.memory(name)
            memory.rebuild()
            say(f"rebuilt {name}: {memory.events.count_after():,} events")


@app.command()
def check(store: options.StorePath = None) -> None:
    """SQLite's own check of the whole file."""
    with options.open_workspace(store=store) as workspace:
        result = workspace.store.integrity()
        if result != "ok":
            raise StoreError(f"the store {workspace.store.path} is damaged: {result}")
        say(f"{workspace.store.path}: ok")
