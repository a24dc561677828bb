"""`memagent memory`: what is stored, and taking care of it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memagent.agent.reports import event_object
from memagent.cli.commands import options
from memagent.cli.render.output import console, print_json, say, write
from memagent.errors import InputError, StoreError, UsageError
from memagent.memory.segmentation.surprising import SurprisingSentences

if TYPE_CHECKING:
    from memagent.memory.namespace import Namespace
    from memagent.types import Source

__all__ = ["app"]

app = typer.Typer(
    help="Stored text and working memory: list, show, forget, rebuild, resegment, lines, edit.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="Name of a document or session.")]


@app.command("list")
def list_sources(
    json: options.Json = False,
    namespaces: Annotated[
        bool, typer.Option("--namespaces", help="Namespaces instead of documents.")
    ] = False,
    namespace: options.NamespaceName = None,
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
    plot: Annotated[
        bool, typer.Option("--plot", help="Its surprise, sentence by sentence, and its events.")
    ] = False,
    plot_file: Annotated[
        Path | None, typer.Option("--plot-file", help="The same as a picture: a .png or .svg.")
    ] = None,
    json: options.Json = False,
    namespace: options.NamespaceName = None,
    store: options.StorePath = None,
) -> None:
    """The stored text of a document or session, character for character."""
    if events and (plot or plot_file):
        raise UsageError("--events prints text and --plot draws: choose one of them")
    with options.open_workspace(namespace=namespace, store=store) as workspace:
        memory = workspace.memory()
        source = memory.sources.get(name)
        if plot or plot_file:
            _plot(memory, source, (start, end), plot_file, json=json, draw=plot)
            return
        if events:
            found = memory.events.of(source.id)
            if json:
                print_json([event_object(event) for event in found])
                return
            for event in found:
                write(f"[{event.start}-{event.end}] {event.text}\n\n")
            return
        text = memory.spans.text(source.id, start, end)
        if json:
            print_json({**asdict(source), "start": start, "end": start + len(text), "text": text})
        else:
            write(text)


def _plot(
    memory: Namespace,
    source: Source,
    given: tuple[int, int | None],
    path: Path | None,
    *,
    json: bool,
    draw: bool,
) -> None:
    """Draw the surprise of a source: as numbers or text on stdout, as a picture in a file."""
    from memagent.cli.render import surprise_plot
    from memagent.memory.profile import profile

    if path is not None:
        surprise_plot.check_suffix(path)
    start, end = _range(source, *given)
    found = profile(memory.events, source.id, start, end)
    if not len(found.nats):
        raise InputError(
            f"no surprise is stored for the characters {start}-{end} of {source.name}: "
            f"what is longer than {SurprisingSentences.short} tokens gets it by "
            "`memagent memory resegment --score`"
        )
    if path is not None:
        surprise_plot.paint(path, source, found)
        say(f"drew {path}")
    if json:
        print_json(surprise_plot.profile_object(source, found, start, end))
    elif draw:
        for line in surprise_plot.draw(source, found, start, end):
            write(f"{line}\n")


def _range(source: Source, start: int | None, end: int | None) -> tuple[int, int]:
    """The characters that are meant, all of them by default; UsageError if there are none."""
    a, b = start or 0, source.chars if end is None else min(end, source.chars)
    if a >= b:
        raise UsageError(
            f"nothing lies between {a} and {b}: {source.name} has {source.chars} characters"
        )
    return a, b


@app.command()
def forget(
    name: Name,
    start: Annotated[int | None, typer.Option("--start", min=0, help="First character.")] = None,
    end: Annotated[int | None, typer.Option("--end", min=0, help="Behind the last one.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    namespace: options.NamespaceName = None,
    store: options.StorePath = None,
) -> None:
    """Overwrite stored text, and every quote of it in answers. This cannot be undone."""
    from memagent.cli.chat.history import ChatHistory

    with options.open_memory(namespace=namespace, store=store) as memory:
        source = memory.namespace.sources.get(name)
        a, b = _range(source, start, end)
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError("forgetting cannot be undone: say --yes")
            typer.confirm(f"Forget {b - a:,} characters of {name}?", abort=True, err=True)
        lost = memory.namespace.spans.text(source.id, a, b)
        forgotten = memory.forget(name, start=start, end=None if end is None else b)
        ChatHistory(memory.workspace.settings.state_dir).forget(lost)
        say(f"forgot {forgotten:,} characters of {name}")


@app.command()
def rebuild(
    segmenter: options.Segmenter = None,
    scorer: options.Scorer = None,
    url: options.Url = None,
    namespace: options.NamespaceName = None,
    store: options.StorePath = None,
) -> None:
    """Make events, words, vectors and index anew from the text; of all namespaces by default.

    Every text is cut as new text is, by the segmenter of the settings with its own parameters:
    what `memory resegment` was told is not kept. Stored surprise is read back.
    """
    from memagent.memory.store.sources import Sources

    flags = {"segmenter": segmenter, "scorer": scorer, "url": url}
    with options.open_workspace(namespace=namespace, store=store, **flags) as workspace:
        names = [row["name"] for row in Sources.namespaces(workspace.store)]
        for name in [namespace] if namespace else names:
            memory = workspace.memory(name)
            memory.rebuild()
            say(f"rebuilt {name}: {memory.events.count_after():,} events")


@app.command()
def resegment(
    name: Annotated[
        str | None, typer.Argument(help="A document or session; all of them by default.")
    ] = None,
    gamma: Annotated[
        float,
        typer.Option("--gamma", help="Standard deviations above the mean that begin one."),
    ] = SurprisingSentences.gamma,
    tau: Annotated[
        int, typer.Option("--tau", help="Sentences whose mean and deviation count.")
    ] = SurprisingSentences.tau,
    head: Annotated[
        int, typer.Option("--head", help="First tokens of a sentence whose surprise counts.")
    ] = SurprisingSentences.head,
    least: Annotated[
        int, typer.Option("--least", help="Tokens of an event before surprise ends it.")
    ] = SurprisingSentences.least,
    most: Annotated[
        int, typer.Option("--most", help="Tokens of an event at most.")
    ] = SurprisingSentences.most,
    paragraph: Annotated[
        int, typer.Option("--paragraph", help="Tokens of an event before a paragraph ends it.")
    ] = SurprisingSentences.paragraph,
    score: Annotated[
        bool, typer.Option("--score", help="Load the model for text without stored surprise.")
    ] = False,
    scorer: options.Scorer = None,
    url: options.Url = None,
    namespace: options.NamespaceName = None,
    store: options.StorePath = None,
) -> None:
    """Cut text into events anew by another rule, from stored surprise, without the model.

    Text added later, and everything after `memory rebuild`, is cut by the rule's defaults again.
    A turn or section of up to 128 tokens is one event by any rule.
    """
    from memagent.memory.segmentation.scorer import AbsentScorer

    flags = {"scorer": scorer, "url": url}
    with options.open_workspace(namespace=namespace, store=store, **flags) as workspace:
        model = workspace.scorer
        at_hand = model if score else AbsentScorer(model.id)
        rule = SurprisingSentences(at_hand, gamma, tau, head, least, most, paragraph)
        memory = workspace.memory()
        source = memory.sources.get(name) if name is not None else None
        before = _count(memory, source)
        left = memory.resegment(rule, source)
        if source not in left:
            after = _count(memory, source)
            what = name or memory.namespace
            say(f"resegmented {what}: {before:,} events before, {after:,} now")
        if left:
            names = ", ".join(other.name for other in list(left)[:8])
            say(
                f"no surprise is stored for {sum(left.values()):,} spans of {names}"
                + (", …" if len(left) > 8 else "")
                + ", which stay as they are: add --score to have them scored"
            )
            raise typer.Exit(1)


def _count(memory: Namespace, source: Source | None) -> int:
    """Events of a source, or of all."""
    return memory.events.count_after() if source is None else len(memory.events.of(source.id))


@app.command()
def check(store: options.StorePath = None) -> None:
    """SQLite's own check of the whole file."""
    with options.open_workspace(store=store) as workspace:
        result = workspace.store.integrity()
        if result != "ok":
            raise StoreError(f"the store {workspace.store.path} is damaged: {result}")
        say(f"{workspace.store.path}: ok")
