"""`memagent bench`: measurements that anyone can run again, offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memagent.cli.commands import options
from memagent.cli.render.output import console, print_json, say

if TYPE_CHECKING:
    from memagent_bench.report import Report

__all__ = ["app"]

app = typer.Typer(
    help="Measurements, each with its own check; they need no network.",
    no_args_is_help=True,
)

Out = Annotated[Path | None, typer.Option("--out", help="Folder in which to write NAME.json too.")]


@app.command()
def store(
    events: Annotated[int, typer.Option("--events", min=1000, help="Events to grow to.")] = 100_000,
    json: options.Json = False,
    out: Out = None,
) -> None:
    """Time of a commit, of a query in up to 100,000 events, of --help; bytes on disk."""
    from memagent_bench.measures.store import measure

    _print(measure(events, tell=say), json, out)


@app.command()
def ingest(
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Text, or JSON Lines of title and text (.xz too)."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=100, help="Words of it.")] = 100_000,
    json: options.Json = False,
    out: Out = None,
) -> None:
    """Words a second of storing, scoring, cutting, embedding and indexing a text."""
    from memagent_bench.measures.ingest import measure

    _print(measure(data, limit=limit, tell=say), json, out)


@app.command()
def faults(
    kills: Annotated[int, typer.Option("--kills", min=1, help="Processes to kill.")] = 100,
    json: options.Json = False,
    out: Out = None,
) -> None:
    """Kill writing processes at random moments and look for what was lost, leaked or kept."""
    from memagent_bench.measures.faults.measure import measure

    _print(measure(kills, tell=say), json, out)


@app.command()
def kernels(
    size: Annotated[str, typer.Option("--size", help="tiny or full.")] = "full",
    json: options.Json = False,
    out: Out = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Folder in which to draw kernels.png.")
    ] = None,
) -> None:
    """Page attention on the GPU if there is one: time, bandwidth, error, beside dense attention."""
    from memagent_bench.kernels import measure as bench

    report = bench.measure(size, tell=say)
    if plot is not None:
        say(f"drawn in {bench.plot(report.as_object(), plot)}")
    _print(report, json, out)


@app.command()
def stream(
    model: Annotated[
        Path | None, typer.Option("--model", help="Folder of a model; default: the bundled one.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Text, or JSON Lines of title and text (.xz too)."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=2048, help="Tokens of the longest text.")
    ] = 110_000,
    json: options.Json = False,
    out: Out = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Folder in which to draw stream-*.png.")
    ] = None,
) -> None:
    """Perplexity along a book, recall of what was read, passkeys, time per token, by history."""
    from memagent_bench.stream import measure as bench

    report = bench.measure(model, data, limit=limit, tell=say)
    if plot is not None:
        say(f"drawn in {', '.join(map(str, bench.plot(report, plot)))}")
    _print(report, json, out)


@app.command()
def reader(
    data: Annotated[
        list[Path],
        typer.Option(
            "--data", help="Question set (SQuAD 1.1, FriendsQA, FairytaleQA); repeatable."
        ),
    ],
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Questions of each set.")
    ] = None,
    json: options.Json = False,
    out: Out = None,
) -> None:
    """Exact match, F1, no-answer accuracy, citation precision, beside the nearest sentence."""
    from memagent_bench.measures.reader import measure

    _print(measure(data, limit=limit, tell=say), json, out)


@app.command()
def recall(
    data: Annotated[
        list[Path],
        typer.Option(
            "--data",
            help="Histories with questions (LoCoMo, QMSum, FairytaleQA, SQuAD, HotpotQA, MuSiQue); "
            "repeatable.",
        ),
    ],
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Questions of each history.")
    ] = None,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Take the design apart as well: slower.")
    ] = False,
    json: options.Json = False,
    out: Out = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Folder in which to draw recall-*.png.")
    ] = None,
) -> None:
    """Share of the evidence recalled for 500 to 7,000 tokens, beside words and vectors alone."""
    from memagent_bench.measures.recall import measure as bench

    report = bench.measure(data, limit=limit, ablate=ablate, tell=say)
    if plot is not None:
        say(f"drawn in {', '.join(map(str, bench.plot(report, plot)))}")
    _print(report, json, out)


@app.command()
def segments(
    data: Annotated[
        list[Path],
        typer.Option(
            "--data", help="Documents with boundaries (QMSum, Choi, event shifts); repeatable."
        ),
    ],
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Documents of each set.")
    ] = None,
    json: options.Json = False,
    out: Out = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Folder in which to draw segments-surprise.png.")
    ] = None,
) -> None:
    """Where events begin, beside people, random events of the same sizes and fixed windows."""
    from memagent_bench.measures.segments import measure as bench

    report = bench.measure(data, limit=limit, tell=say)
    if plot is not None:
        say(f"drawn in {bench.plot(report, plot)}")
    _print(report, json, out)


@app.command()
def served(
    url: options.Url = None,
    rows: Annotated[int, typer.Option("--rows", min=32, help="Questions of the batch.")] = 96,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=1, help="Longest answer, in tokens.")
    ] = 512,
    json: options.Json = False,
    out: Out = None,
) -> None:
    """Throughput of a batch over that of a bare client; share of prompts the server had cached."""
    from memagent_bench.measures.served import measure

    with options.open_workspace(url=url, engine="vllm") as workspace:
        report = measure(workspace.engine, rows=rows, max_tokens=max_tokens, tell=say)
    _print(report, json, out)


@app.command()
def loops(
    data: Annotated[Path, typer.Option("--data", help="Histories with questions, as for recall.")],
    url: options.Url = None,
    engine: options.Engine = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Questions of each history.")] = 8,
    json: options.Json = False,
    out: Out = None,
) -> None:
    """Evidence before the engine by way to answer: one call, further questions, vote, outline."""
    from memagent_bench.measures.loops import measure

    with options.open_workspace(url=url, engine=engine) as workspace:
        _print(measure(workspace.engine, data, limit=limit, tell=say), json, out)


def _print(report: Report, json: bool, out: Path | None) -> None:
    from memagent_bench.report import save

    value = report.as_object()
    if out is not None:
        say(f"written to {save(value, out)}")
    if json:
        print_json(value)
        return
    width = max(map(len, report.metrics))
    for name, number in report.metrics.items():
        console().print(f"{name:{width}}  {number:g}", markup=False)
