"""`memagent add`: add documents to memory."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memagent.cli.commands import options
from memagent.cli.render.output import console, print_json, say
from memagent.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memagent.documents.ingest import Added

__all__ = ["add"]


@options.settings("max_mb", "segmenter", "scorer", "url", "namespace", "store")
def add(
    paths: Annotated[
        list[str], typer.Argument(help="Files, folders, quoted glob patterns, or - for stdin.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="Name for a single document; required for stdin.")
    ] = None,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Print a JSON line per commit and per document.")
    ] = False,
    **flags: Any,
) -> None:
    """Add documents: text, Markdown, HTML, PDF, Word, EPUB, source code.

    Adding an unchanged file again does nothing. An interrupted add resumes where it stopped.
    """
    if "-" in paths and len(paths) > 1:
        raise UsageError("- (stdin) cannot be combined with files: add them in a separate command")
    if paths == ["-"] and name is None:
        raise UsageError("text from stdin needs a name: memagent add - --name notes")
    done: list[Added] = []

    def committed(source: str, spans: int, chars: int) -> None:
        if jsonl:
            print_json({"source": source, "spans": spans, "chars": chars})

    with (
        options.open_memory(**flags) as memory,
        _progress_bar() as on_embed,
    ):
        for added in memory.add_all(
            [sys.stdin.buffer] if paths == ["-"] else paths,
            name,
            on_commit=committed,
            on_embed=on_embed,
        ):
            done.append(added)
            if added.error is not None:
                say(str(added.error))
            elif jsonl:
                _print_added(added)
    stored = [added for added in done if added.error is None]
    if not jsonl:
        for added in stored:
            say(f"{added.status} {added.source}: {added.chars:,} characters")
    # An unreadable file is a failure only if it was named, not if a folder contains it.
    if not stored or any(added.status == "failed" for added in done):
        raise typer.Exit(1)


def _print_added(added: Added) -> None:
    print_json(
        {
            "source": added.source,
            "status": added.status,
            "spans": added.spans,
            "chars": added.chars,
        }
    )


@contextmanager
def _progress_bar() -> Iterator[Callable[[int, int], None]]:
    """A function that shows how many events are embedded, as a bar on a terminal."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    out = console(stderr=True)
    columns = (TextColumn("embedding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=out, transient=True, disable=not out.is_terminal)
    with ExitStack() as shown:

        def update(done: int, total: int) -> None:
            if not bar.tasks:
                shown.enter_context(bar)
                bar.add_task("embedding", total=None)
            bar.update(bar.tasks[0].id, completed=done, total=total)

        yield update
