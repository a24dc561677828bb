"""`memagent bench`: measurements that anyone can rerun offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memagent.cli.commands import options
from memagent.cli.render.output import console, print_json, say
from memagent.errors import UsageError

if TYPE_CHECKING:
    from memagent_bench.report import Report

__all__ = ["app"]

app = typer.Typer(
    help="Run a benchmark. Each checks its own results, and none needs the network.",
    no_args_is_help=True,
)

Out = Annotated[
    Path | None, typer.Option("--out", help="Also write the report to NAME.json in this folder.")
]
Plot = Annotated[Path | None, typer.Option("--plot", help="Draw plots as PNG in this folder.")]
Text = Annotated[
    Path | None,
    typer.Option("--data", help="Text file, or JSON Lines with title and text, optionally .xz."),
]


@app.command()
def store(
    events: Annotated[
        int, typer.Option("--events", min=1000, help="Number of events to grow the store to.")
    ] = 100_000,
    json: options.Json = False,
    out: Out = None,
) -> None:
    """Measure commits, queries over up to 100,000 events, disk usage and the time of --help."""
    from memagent_bench.measures.store import measure

    _print(measure(events, tell=say), json, out)


@app.command()
def ingest(
    data: Text = None,
    limit: Annotated[
        int, typer.Option("--limit", min=100, help="Number of words to read.")
    ] = 100_000,
    json: options.Json = False,
    out: Out = None,
) -> None:
    """Measure the speed of storing, scoring, segmenting, embedding and indexing a text."""
    from memagent_bench.measures.ingest import measure

    _print(measure(data, limit=limit, tell=say), json, out)


@app.command()
def faults(
    kills: Annotated[
        int, typer.Option("--kills", min=1, help="Number of processes to kill.")
    ] = 100,
    json: options.Json = False,
    out: Out = None,
) -> None:
    """Kill writing processes at random moments and check for lost, leaked or leftover text."""
    from memagent_bench.measures.faults.measure import measure

    _print(measure(kills, tell=say), json, out)


@app.command()
def kernels(
    size: Annotated[
        str, typer.Option("--size", help="Size of the benchmark: tiny or full.")
    ] = "full",
    json: options.Json = False,
    out: Out = None,
    plot: Plot = None,
) -> None:
    """Compare page attention with dense attention: time, bandwidth, error; on a GPU if present."""
    from memagent_bench.kernels import measure as bench

    report = bench.measure(size, tell=say)
    if plot is not None:
        say(f"plotted to {bench.plot(report.as_object(), plot)}")
    _print(report, json, out)


@app.command()
def stream(
    model: Annotated[
        Path | None, typer.Option("--model", help="Folder of a model. Default: the bundled model.")
    ] = None,
    data: Text = None,
    limit: Annotated[
        int, typer.Option("--limit", min=2048, help="Number of tokens of the longest text.")
    ] = 110_000,
    json: options.Json = False,
    out: Out = None,
    plot: Plot = None,
) -> None:
    """Measure a stream: perplexity along a book, recall, passkeys and time per token."""
    from memagent_bench.stream import measure as bench

    report = bench.measure(model, data, limit=limit, tell=say)
    if plot is not None:
        say(f"plotted to {', '.join(map(str, bench.plot(report, plot)))}")
    _print(report, json, out)


@app.command()
def reader(
    data: Annotated[
        list[Path],
        typer.Option(
            "--data", help="Question set (SQuAD 1.1, FriendsQA, FairytaleQA). Repeatable."
        ),
    ],
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Maximum number of questions of each set.")
    ] = None,
    json: options.Json = False,
    out: Out = None,
) -> None:
    """Measure the answers of the pocket reader and compare them with the nearest sentence."""
    from memagent_bench.measures.reader import measure

    _print(measure(data, limit=limit, tell=say), json, out)


@app.command()
def recall(
    data: Annotated[
        list[Path],
        typer.Option(
            "--data",
            help="Histories with questions (LoCoMo, QMSum, FairytaleQA, SQuAD, HotpotQA, MuSiQue). "
            "Repeatable.",
        ),
    ],
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Maximum number of questions of each history."),
    ] = None,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Also run the ablations, which takes longer.")
    ] = False,
    json: options.Json = False,
    out: Out = None,
    plot: Plot = None,
) -> None:
    """Measure the evidence recalled in 500 to 7,000 tokens and compare it with baselines."""
    from memagent_bench.measures.recall import measure as bench

    report = bench.measure(data, limit=limit, ablate=ablate, tell=say)
    if plot is not None:
        say(f"plotted to {', '.join(map(str, bench.plot(report, plot)))}")
    _print(report, json, out)


@app.command()
def segments(
    data: Annotated[
        list[Path],
        typer.Option(
            "--data", help="Documents with boundaries (QMSum, Choi, event shifts). Repeatable."
        ),
    ],
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Maximum number of documents of each set.")
    ] = None,
    json: options.Json = False,
    out: Out = None,
    plot: Plot = None,
) -> None:
    """Compare event boundaries with human ones, random events and fixed windows."""
    from memagent_bench.measures.segments import measure as bench

    report = bench.measure(data, limit=limit, tell=say)
    if plot is not None:
        say(f"plotted to {bench.plot(report, plot)}")
    _print(report, json, out)


@app.command()
@options.settings("url")
def served(
    rows: Annotated[
        int, typer.Option("--rows", min=32, help="Number of questions in the batch.")
    ] = 96,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=1, help="Maximum number of tokens of an answer.")
    ] = 512,
    json: options.Json = False,
    out: Out = None,
    **flags: Any,
) -> None:
    """Compare a batch with a bare client of the same server, and measure its prefix cache."""
    from memagent_bench.measures.served import measure

    with options.open_workspace(engine="vllm", **flags) as workspace:
        report = measure(workspace.engine, rows=rows, max_tokens=max_tokens, tell=say)
    _print(report, json, out)


@app.command()
@options.settings("url", "engine")
def loops(
    data: Annotated[Path, typer.Option("--data", help="Histories with questions, as for recall.")],
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="Maximum number of questions of each history.")
    ] = 8,
    json: options.Json = False,
    out: Out = None,
    **flags: Any,
) -> None:
    """Compare the evidence that each answer strategy shows the engine."""
    from memagent_bench.measures.loops import measure

    with options.open_workspace(**flags) as workspace:
        _print(measure(workspace.engine, data, limit=limit, tell=say), json, out)


@app.command()
@options.settings("url", "model", "engine")
def answers(
    data: Annotated[
        list[Path],
        typer.Option(
            "--data", help="Desk set, SQuAD or LoCoMo file, or archive of QMSum. Repeatable."
        ),
    ],
    arms: Annotated[
        str, typer.Option("--arms", help="Methods to compare, separated by commas.")
    ] = "product,none,newest,topk",
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Maximum number of questions of each set.")
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the product, as NAME=VALUE. Repeatable."),
    ] = None,
    rows: Annotated[
        Path | None, typer.Option("--rows", help="Write each answer with its verdict to this file.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the file of --rows after an interruption.")
    ] = False,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", help="Keep the filled stores in this folder for later runs."),
    ] = None,
    json: options.Json = False,
    out: Out = None,
    **flags: Any,
) -> None:
    """Count right answers of the product, of the engine alone, and of plain retrieval with it."""
    from memagent_bench.measures.answers.measure import Plan, measure

    plan = Plan(data, tuple(filter(None, arms.split(","))), limit, keep, rows, resume)
    with options.open_workspace(**{**flags, **_settings(given or [])}) as workspace:
        _print(measure(workspace, plan, tell=say), json, out)


def _settings(given: list[str]) -> dict[str, str]:
    """The settings of --set by their names."""
    pairs = [text.partition("=") for text in given]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise UsageError(f"--set takes NAME=VALUE, not {name!r}: for example --set hops=1")
    return {name: value for name, _, value in pairs}


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
