"""`memagent write`: a long text, paragraph by paragraph, from an outline."""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memagent.cli.commands import options
from memagent.cli.render.output import print_json, say
from memagent.cli.render.output import write as put
from memagent.errors import InputError, MemagentError, UsageError

if TYPE_CHECKING:
    from memagent.memory.namespace import Namespace
    from memagent.writing.book import Book
    from memagent.writing.writer import Step, Writer

__all__ = ["write"]


def write(
    outline: Annotated[
        str | None, typer.Argument(help="File of the outline; - for stdin.", show_default=False)
    ] = None,
    text: Annotated[str | None, typer.Option("--text", help="The outline itself.")] = None,
    session: Annotated[
        str | None, typer.Option("--session", "-s", help="Name of the text, new or old.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--continue", "-c", help="Go on with a text, the newest without -s.")
    ] = False,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps", min=1, help="Paragraphs of the whole text.", show_default="10 more"
        ),
    ] = None,
    auto: Annotated[bool, typer.Option("--auto", help="Choose plans by the seed.")] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of choices and answers.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File of the whole text.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a step.")] = False,
    namespace: options.NamespaceName = None,
    engine: options.Engine = None,
    model: options.Model = None,
    url: options.Url = None,
    budget: options.Budget = None,
    max_tokens: options.MaxTokens = None,
    store: options.StorePath = None,
) -> None:
    """Write a long text from an outline: memory, plans and paragraphs, step by step.

    On a terminal you choose, edit or write each plan; with --auto the seed does. A text that was
    interrupted goes on with -c where it ended.
    """
    if not auto and (outline == "-" or sys.stdin is None or not sys.stdin.isatty()):
        raise UsageError("choosing plans needs a terminal: let the seed choose with --auto")
    if out is not None and (out.is_dir() or not out.absolute().parent.is_dir()):
        raise UsageError(f"{out} is no place for a file: choose another --out")
    given = _outline(outline, text, follow)
    flags = {
        "namespace": namespace,
        "engine": engine,
        "model": model,
        "url": url,
        "budget": budget,
        "max_tokens": max_tokens,
        "store": store,
    }
    with options.open_workspace(**flags) as workspace:
        from memagent.writing.book import Book
        from memagent.writing.generation import check_writes
        from memagent.writing.writer import Writer

        memory = workspace.memory()
        check_writes(workspace.engine, "writing")
        book = Book(memory, _name(memory, session, outline, follow), given)
        writer = Writer(book, workspace.engine, workspace.settings, seed)
        code = _run(writer, steps, auto, _Shown(book, out, json), {"out": out, **flags})
    raise typer.Exit(code)


def _run(
    writer: Writer, steps: int | None, auto: bool, shown: _Shown, flags: Mapping[str, object]
) -> int:
    """Write, and say how to go on; returns the exit code."""
    if auto:
        code = _by_seed(writer, steps, shown)
    else:
        from memagent.cli.writing import converse

        code = converse(writer, steps, shown.step, shown.save)
    more = steps if steps and steps > len(writer.book.paragraphs()) else None
    kept = {"steps": more, "seed": writer.seed or None, **flags}
    shown.end(code, _again(writer.book.source.name, auto, kept))
    return code


def _by_seed(writer: Writer, steps: int | None, shown: _Shown) -> int:
    """Write until there are `steps` paragraphs; returns the exit code. Ctrl-C ends it."""
    from memagent.writing.writer import STEPS

    written = len(writer.book.paragraphs())
    last = steps or written + STEPS
    if written >= last:
        say(f"the text has {written} paragraphs already: say --steps {written + STEPS} for more")
    shown.save()
    try:
        for _ in range(written, last):
            shown.step(writer.step(writer.choose()))
    except KeyboardInterrupt:
        return 130
    except MemagentError as error:
        shown.error = error
    return 0


class _Shown:
    """Where steps go: stdout, the file of the whole text, stderr."""

    def __init__(self, book: Book, out: Path | None, json: bool) -> None:
        self.book = book
        self.out = out
        self.json = json
        self.error: MemagentError | None = None
        self.shown = 0

    def step(self, step: Step) -> None:
        """Show a step that is stored."""
        for note in step.written.notes:
            say(note)
        if self.json:
            print_json(step.report(self.book.source.name))
        else:
            put(("\n" if self.shown else "") + step.written.paragraph + "\n")
        self.shown += 1
        self.save()

    def save(self) -> None:
        """Bring the file up to the text; it holds the old text or the new one, never a part."""
        if self.out is None or not self.book.paragraphs():
            return
        path = self.out.resolve()
        try:
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(self.book.text())
            Path(name).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
            Path(name).replace(path)
        except OSError as error:
            raise InputError(
                f"{self.out} cannot be written ({error.strerror}): the text is in the store; "
                "choose another --out"
            ) from error

    def end(self, code: int, again: str) -> None:
        """Say how to go on; raises the error that ended the text."""
        count = len(self.book.paragraphs())
        if self.error is not None:
            message = f"{self.error}; {count} paragraphs are kept: go on with {again}"
            raise type(self.error)(message) from self.error
        said = "interrupted: " if code == 130 else ""
        say(f"{said}{count} paragraphs are kept; go on with: {again}")


def _outline(path: str | None, text: str | None, follow: bool) -> str | None:
    """The outline, None to go on without; UsageError where it is missing or empty."""
    if path is not None and text is not None:
        raise UsageError("OUTLINE and --text both give the outline: give one of them")
    if path is None and text is None:
        if follow:
            return None
        raise UsageError(
            "there is no outline: write memagent write OUTLINE, or go on with a text by -c"
        )
    given = text if path is None else options.read_file(path)
    if not given or not given.strip():
        raise UsageError("the outline is empty: say in a few sentences what the text is about")
    return given


def _name(memory: Namespace, session: str | None, path: str | None, follow: bool) -> str:
    """The session of the text: the one named, the newest to go on with, or a new one."""
    from memagent.agent.session import new_name
    from memagent.writing.book import newest_book

    if follow:
        return session or newest_book(memory)
    if session is not None:
        known = memory.sources.find(session, "session")
        if known is not None and known.chars:
            raise UsageError(
                f"there is a session {session!r} already: go on with it by -c, or choose another "
                "name with -s"
            )
        return session
    stem = "" if path in (None, "-") else Path(str(path)).stem
    first = re.sub(r"[^\w.@:+ -]+|\.\.+", "-", stem).strip(" -._")[:80] or new_name()
    name, number = first, 2
    while memory.sources.find(name, "session") is not None:
        name, number = f"{first} {number}", number + 1
    return name


def _again(name: str, auto: bool, flags: Mapping[str, object]) -> str:
    """The command that goes on with the text."""
    parts = ["memagent", "write", "-c", "-s", name, *(["--auto"] if auto else [])]
    for flag, value in flags.items():
        if value is not None:
            parts += ["--" + flag.replace("_", "-"), str(value)]
    return shlex.join(parts)
