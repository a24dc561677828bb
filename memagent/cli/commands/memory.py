"""`memagent memory`: show and manage what is stored."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    help="Show and manage stored text and working memory.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="Name of a document or session.")]


@app.command("list")
@options.settings("namespace", "store")
def list_sources(
    json: options.Json = False,
    namespaces: Annotated[
        bool, typer.Option("--namespaces", help="List the namespaces instead.")
    ] = False,
    **flags: Any,
) -> None:
    """List the documents and sessions of the namespace."""
    with options.open_workspace(**flags) as workspace:
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
@options.settings("namespace", "store")
def show(
    name: Name,
    start: options.Start = None,
    end: options.End = None,
    events: Annotated[bool, typer.Option("--events", help="Show the text event by event.")] = False,
    plot: Annotated[
        bool, typer.Option("--plot", help="Plot the surprise of each sentence, and the events.")
    ] = False,
    plot_file: Annotated[
        Path | None, typer.Option("--plot-file", help="Save the plot as a .png or .svg file.")
    ] = None,
    json: options.Json = False,
    **flags: Any,
) -> None:
    """Show the stored text of a document or session, character for character."""
    if events and (plot or plot_file):
        raise UsageError("--events cannot be combined with a plot: choose one of them")
    start = start or 0
    with options.open_workspace(**flags) as workspace:
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
    """Plot the surprise of a source: as JSON or text on stdout, or as a picture in a file."""
    from memagent.cli.render import surprise_plot
    from memagent.memory.profile import profile

    if path is not None:
        surprise_plot.check_suffix(path)
    start, end = _range(source, *given)
    found = profile(memory.events, source.id, start, end)
    if not len(found.nats):
        raise InputError(
            f"no surprise is stored for the characters {start}-{end} of {source.name}: "
            f"score text of more than {SurprisingSentences.short} tokens with "
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
    """The range of characters, by default all; UsageError if it is empty."""
    a, b = start or 0, source.chars if end is None else min(end, source.chars)
    if a >= b:
        raise UsageError(
            f"no text between {a} and {b}: {source.name} has {source.chars} characters"
        )
    return a, b


@app.command()
@options.settings("namespace", "store")
def forget(
    name: Name,
    start: options.Start = None,
    end: options.End = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    **flags: Any,
) -> None:
    """Overwrite stored text and every quotation of it in answers. This cannot be undone."""
    from memagent.cli.chat.history import ChatHistory

    with options.open_memory(**flags) as memory:
        source = memory.namespace.sources.get(name)
        a, b = _range(source, start, end)
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError("forgetting cannot be undone: confirm with --yes")
            typer.confirm(f"Forget {b - a:,} characters of {name}?", abort=True, err=True)
        lost = memory.namespace.spans.text(source.id, a, b)
        forgotten = memory.forget(name, start=start, end=None if end is None else b)
        ChatHistory(memory.workspace.settings.state_dir).forget(lost)
        say(f"forgot {forgotten:,} characters of {name}")


@app.command()
@options.settings("segmenter", "scorer", "url", "namespace", "store")
def rebuild(
    **flags: Any,
) -> None:
    """Rebuild events, word index and vectors from the stored text, by default of all namespaces.

    Text is segmented as new text would be, with the segmenter from the settings and its default
    parameters; options of an earlier `memory resegment` are not kept. Stored surprise is reused.
    """
    from memagent.memory.store.sources import Sources

    with options.open_workspace(**flags) as workspace:
        names = [row["name"] for row in Sources.namespaces(workspace.store)]
        for name in [flags["namespace"]] if flags["namespace"] else names:
            memory = workspace.memory(name)
            memory.rebuild()
            say(f"rebuilt {name}: {memory.events.count_after():,} events")


Gamma = Annotated[
    float,
    typer.Option(
        "--gamma",
        help="Begin an event where surprise is this many standard deviations above the mean.",
    ),
]
Tau = Annotated[
    int,
    typer.Option("--tau", help="Number of sentences over which mean and deviation are computed."),
]
Head = Annotated[
    int, typer.Option("--head", help="Number of tokens at the start of a sentence that are scored.")
]
Least = Annotated[
    int, typer.Option("--least", help="Tokens an event must have before surprise can end it.")
]
Most = Annotated[int, typer.Option("--most", help="Maximum tokens per event.")]
Paragraph = Annotated[
    int,
    typer.Option("--paragraph", help="Tokens an event must have before a new paragraph ends it."),
]
Score = Annotated[
    bool,
    typer.Option("--score", help="Use the model to score text that has no stored surprise."),
]


@app.command()
@options.settings("scorer", "url", "namespace", "store")
def resegment(
    name: Annotated[
        str | None, typer.Argument(help="A document or session; by default all.")
    ] = None,
    gamma: Gamma = SurprisingSentences.gamma,
    tau: Tau = SurprisingSentences.tau,
    head: Head = SurprisingSentences.head,
    least: Least = SurprisingSentences.least,
    most: Most = SurprisingSentences.most,
    paragraph: Paragraph = SurprisingSentences.paragraph,
    score: Score = False,
    **flags: Any,
) -> None:
    """Segment text into events again, with other parameters, from the stored surprise.

    Text added later uses the default parameters, and `memory rebuild` returns all text to them.
    A turn or section of up to 128 tokens is always one event.
    """
    from memagent.memory.segmentation.scorer import AbsentScorer

    with options.open_workspace(**flags) as workspace:
        model = workspace.scorer
        chosen = model if score else AbsentScorer(model.id)
        rule = SurprisingSentences(chosen, gamma, tau, head, least, most, paragraph)
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
                + ", which are unchanged: add --score to score them"
            )
            raise typer.Exit(1)


def _count(memory: Namespace, source: Source | None) -> int:
    """Number of events of a source, or of the whole namespace."""
    return memory.events.count_after() if source is None else len(memory.events.of(source.id))


@app.command()
@options.settings("store")
def check(
    **flags: Any,
) -> None:
    """Check the integrity of the store's file with SQLite."""
    with options.open_workspace(**flags) as workspace:
        result = workspace.store.integrity()
        if result != "ok":
            raise StoreError(f"the store {workspace.store.path} is damaged: {result}")
        say(f"{workspace.store.path}: ok")
