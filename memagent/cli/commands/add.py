"""`memagent add`: add documents to memory."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from memagent.cli.commands import options
from memagent.cli.render.output import console, print_json, say
from memagent.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memagent.documents.ingest import Added
    from memagent.documents.open import Document
    from memagent.memory.namespace import Namespace

__all__ = ["add"]


def add(
    paths: Annotated[
        list[str], typer.Argument(help="Files, folders, quoted glob patterns, or - for stdin.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="Name for the document: one file, or stdin.")
    ] = None,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Print a JSON line per commit and per document.")
    ] = False,
    max_mb: Annotated[
        int | None,
        typer.Option(
            "--max-mb", help="Refuse files of more than N MB.", metavar="N", show_default="512"
        ),
    ] = None,
    segmenter: options.Segmenter = None,
    scorer: options.Scorer = None,
    url: options.Url = None,
    namespace: options.NamespaceName = None,
    store: options.StorePath = None,
) -> None:
    """Add documents: text, Markdown, HTML, PDF, Word, EPUB, source code.

    Adding an unchanged file again does nothing. An interrupted add resumes where it stopped.
    """
    flags = {"max_mb": max_mb, "segmenter": segmenter, "scorer": scorer, "url": url}
    with options.open_workspace(namespace=namespace, store=store, **flags) as workspace:
        memory = workspace.memory()
        limit = workspace.settings.max_mb * 1024 * 1024
        done: list[Added] = []
        failed = False
        for path, read in _documents(paths, name, limit):
            try:
                done.append(_store(memory, read(), jsonl))
            except InputError as error:
                # An unreadable file is a failure only if it was named, not if a folder contains it.
                failed = failed or path in paths
                say(str(error))
        _embed(memory)
        if not jsonl:
            _summary(done)
        if failed or not done:
            raise typer.Exit(1)


def _documents(
    paths: list[str], name: str | None, limit: int
) -> Iterator[tuple[str, Callable[[], Document]]]:
    """Each document's path, and a function that opens it."""
    from memagent.documents.discover import discover
    from memagent.documents.open import open_document, read_stdin

    if "-" in paths:
        if len(paths) > 1:
            raise UsageError(
                "- (stdin) cannot be combined with files: add them in a separate command"
            )
        if name is None:
            raise UsageError("text from stdin needs a name: memagent add - --name notes")
        yield "-", lambda: read_stdin(sys.stdin.buffer, name=name, max_bytes=limit)
        return
    files = list(discover(paths))
    if name is not None and len(files) > 1:
        raise UsageError(f"--name needs exactly one document, not {len(files)}: leave it out")
    for path in files:
        yield str(path), partial(open_document, path, name=name, max_bytes=limit)


def _store(memory: Namespace, document: Document, jsonl: bool) -> Added:
    from memagent.documents.ingest import ingest

    def committed(spans: int, chars: int) -> None:
        if jsonl:
            print_json({"source": document.name, "spans": spans, "chars": chars})

    added = ingest(memory, document, committed=committed)
    if jsonl:
        print_json(
            {
                "source": added.source,
                "status": added.status,
                "spans": added.spans,
                "chars": added.chars,
            }
        )
    return added


def _embed(memory: Namespace) -> None:
    """Segment and embed the added text, with a progress bar on a terminal."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    out = console(stderr=True)
    columns = (TextColumn("embedding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task("embedding", total=None)
        memory.catch_up(lambda done, total: bar.update(task, completed=done, total=total))


def _summary(done: list[Added]) -> None:
    for added in done:
        say(f"{added.status} {added.source}: {added.chars:,} characters")
