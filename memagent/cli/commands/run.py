"""`memagent run`: a batch of operations, read as JSON Lines from a file or a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from memagent.cli.commands import options
from memagent.cli.render.output import console, say
from memagent.errors import InputError, NotFoundError, ServerDownError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from memagent.agent.workspace import Workspace
    from memagent.batch.rows import Row
    from memagent.batch.runner import Batch

__all__ = ["run"]

_FAILED_ROWS = 6


RowsOption = Annotated[
    str, typer.Argument(metavar="INPUT", help="File of rows in JSON Lines, or - for stdin.")
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="File to write the results to.", show_default="stdout"),
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Skip rows that already have a result in --out.")
]
ConcurrencyOption = Annotated[
    int,
    typer.Option(
        "--concurrency",
        min=1,
        max=256,
        help="Answer up to N questions at the same time.",
        metavar="N",
    ),
]
MaxErrorsOption = Annotated[
    int | None,
    typer.Option("--max-errors", min=1, help="Stop after N failed rows.", metavar="N"),
]


@options.settings("max_mb", "hops", "votes", "outline", *options.ENGINE)
def run(
    rows: RowsOption,
    out: OutOption = None,
    resume: ResumeOption = False,
    concurrency: ConcurrencyOption = 1,
    max_errors: MaxErrorsOption = None,
    **flags: Any,
) -> None:
    """Run a batch of rows such as {"id": 1, "op": "ask", "question": "..."}, each exactly once.

    Operations and their fields: add (path, or text and name), ask (question), chat (session,
    text), write (session, outline, steps, seed), search (query), forget (source, start, end).

    To continue a batch that was interrupted, run it again with --resume. The exit code is 6 if
    rows failed and 4 if the server was lost.
    """
    out = None if out == Path("-") else out
    if resume and out is None:
        raise UsageError("--resume needs --out: the results show which rows are finished")
    if out is not None and rows != "-" and out.resolve() == Path(rows).resolve():
        raise UsageError("--out is the input file: choose another file for the results")
    with (
        _opened(rows) as (lines, total),
        options.open_workspace(**flags) as workspace,
    ):
        failed = _run(workspace, lines, total, out, resume, concurrency, max_errors)
    if failed:
        raise typer.Exit(_FAILED_ROWS)


def _run(
    workspace: Workspace,
    lines: BinaryIO,
    total: int | None,
    out: Path | None,
    resume: bool,
    concurrency: int,
    max_errors: int | None,
) -> int:
    """Run the batch; returns the number of failed rows, those of earlier runs included."""
    from memagent.batch.results import Results
    from memagent.batch.rows import read_rows
    from memagent.batch.runner import Batch
    from memagent.memory.store.batches import Batches

    with Results(out, resume=resume) as results, _progress(total) as ended:
        assert workspace.engine  # fails here, before any row runs
        record = Batches(workspace.store, str(out.resolve()) if out else "-", resume=resume)
        batch = Batch(
            workspace,
            record,
            results,
            concurrency=concurrency,
            max_errors=max_errors,
            ended=ended,
        )
        try:
            batch.run(read_rows(lines))
        except KeyboardInterrupt:
            say(_how_to_resume(batch, out))
            if batch.stuck:
                # A thread waiting for a server cannot be stopped; the results are on disk.
                os._exit(130)
            raise
        except ServerDownError as error:
            raise ServerDownError(f"{error}; {_how_to_resume(batch, out)}") from error
    earlier = f", {batch.skipped} already finished" if batch.skipped else ""
    say(f"{batch.ok} rows ok, {batch.failed} failed{earlier}")
    if batch.gave_up:
        say(f"stopped after {batch.failed} failed rows (--max-errors)")
    return batch.failed + batch.failed_before


def _how_to_resume(batch: Batch, out: Path | None) -> str:
    rest = f"resume with --resume --out {out}" if out else "use --out to be able to resume"
    return f"interrupted after {batch.ok + batch.failed} rows: {rest}"


@contextmanager
def _opened(name: str) -> Iterator[tuple[BinaryIO, int | None]]:
    """The lines of the input and their number, None if that cannot be known."""
    if name == "-":
        yield sys.stdin.buffer, None
        return
    try:
        file = Path(name).open("rb")  # noqa: SIM115 - errors of the batch must not be caught here
    except FileNotFoundError:
        raise NotFoundError(f"{name} does not exist: check the path") from None
    except OSError as error:
        raise InputError(f"{name} cannot be read: {str(error.strerror).lower()}") from error
    with file:
        total = None
        if file.seekable():
            total = sum(1 for line in file if line.strip())
            file.seek(0)
        yield file, total


@contextmanager
def _progress(total: int | None) -> Iterator[Callable[[Row, str | None], None]]:
    """A function to call after each row: it moves the progress bar and reports unreadable rows."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    out = console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task("rows", total=total)

        def ended(row: Row, error: str | None) -> None:
            bar.advance(task)
            if row.id is None and error:
                say(error)

        yield ended
