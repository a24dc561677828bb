"""`memagent write`: a long text from an outline, paragraph by paragraph."""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memagent.cli.commands import options
from memagent.cli.render.output import print_json, say
from memagent.cli.render.output import write as put
from memagent.cli.session_names import unused_name
from memagent.errors import InputError, MemagentError, UsageError

if TYPE_CHECKING:
    from memagent.memory.namespace import Namespace
    from memagent.writing.book import Book
    from memagent.writing.writer import Step, Writer

__all__ = ["write"]


OutlineOption = Annotated[
    str | None, typer.Argument(help="File of the outline, or - for stdin.", show_default=False)
]
SessionOption = Annotated[
    str | None,
    typer.Option("--session", "-s", help="Text to continue, or the name of a new one."),
]
FollowOption = Annotated[
    bool, typer.Option("--continue", "-c", help="Continue a text: that of -s, or the newest.")
]
StepsOption = Annotated[
    int | None,
    typer.Option(
        "--steps",
        min=1,
        help="Stop when the text has N paragraphs.",
        metavar="N",
        show_default="10 more",
    ),
]
AutoOption = Annotated[
    bool, typer.Option("--auto", help="Choose plans at random instead of asking; see --seed.")
]
SeedOption = Annotated[
    int, typer.Option("--seed", min=0, help="Seed for the choice of plans and for sampling.")
]
OutOption = Annotated[
    Path | None, typer.Option("--out", "-o", help="File to write the whole text to.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object for each step.")]


@options.settings(*options.ENGINE)
def write(
    outline: OutlineOption = None,
    text: Annotated[str | None, typer.Option("--text", help="The outline as text.")] = None,
    session: SessionOption = None,
    follow: FollowOption = False,
    steps: StepsOption = None,
    auto: AutoOption = False,
    seed: SeedOption = 0,
    out: OutOption = None,
    json: JsonOption = False,
    **flags: Any,
) -> None:
    """Write a long text from an outline, one paragraph at a time.

    Before each paragraph you choose, edit or type a plan; with --auto the program chooses. Use -c
    to continue a text that was interrupted.
    """
    if not auto and (outline == "-" or sys.stdin is None or not sys.stdin.isatty()):
        raise UsageError("choosing plans needs a terminal: use --auto to let the program choose")
    if out is not None and (out.is_dir() or not out.absolute().parent.is_dir()):
        raise UsageError(f"{out} cannot be a file: choose another --out")
    given = _outline(outline, text, follow)
    with options.open_workspace(**flags) as workspace:
        from memagent.writing.book import Book
        from memagent.writing.generation import check_writes
        from memagent.writing.writer import Writer

        memory = workspace.memory()
        check_writes(workspace.engine, "writing")
        book = Book(memory, _name(memory, session, outline, follow), given)
        writer = Writer(book, workspace.engine, workspace.settings, seed)
        code = _run(writer, steps, auto, _Output(book, out, json), {"out": out, **flags})
    raise typer.Exit(code)


def _run(
    writer: Writer, steps: int | None, auto: bool, output: _Output, flags: Mapping[str, object]
) -> int:
    """Write, and print how to continue; returns the exit code."""
    if auto:
        code = _write_automatically(writer, steps, output)
    else:
        from memagent.cli.writing import converse

        code = converse(writer, steps, output.step, output.save)
    more = steps if steps and steps > len(writer.book.paragraphs()) else None
    kept = {"steps": more, "seed": writer.seed or None, **flags}
    output.end(code, _continue_command(writer.book.source.name, auto, kept))
    return code


def _write_automatically(writer: Writer, steps: int | None, output: _Output) -> int:
    """Write until there are `steps` paragraphs or Ctrl-C; returns the exit code."""
    from memagent.writing.writer import STEPS

    written = len(writer.book.paragraphs())
    last = steps or written + STEPS
    if written >= last:
        say(f"the text has {written} paragraphs already: use --steps {written + STEPS} for more")
    output.save()
    try:
        for _ in range(written, last):
            output.step(writer.step(writer.choose()))
    except KeyboardInterrupt:
        return 130
    except MemagentError as error:
        output.error = error
    return 0


class _Output:
    """Prints the steps, and keeps the file of the whole text up to date."""

    def __init__(self, book: Book, out: Path | None, json: bool) -> None:
        self.book = book
        self.out = out
        self.json = json
        self.error: MemagentError | None = None
        self.printed = 0

    def step(self, step: Step) -> None:
        """Print a step that has been stored."""
        for note in step.written.notes:
            say(note)
        if self.json:
            print_json(step.report(self.book.source.name))
        else:
            put(("\n" if self.printed else "") + step.written.paragraph + "\n")
        self.printed += 1
        self.save()

    def save(self) -> None:
        """Replace the file with the whole text, atomically."""
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

    def end(self, code: int, command: str) -> None:
        """Print how to continue; raises the error that ended the text."""
        count = len(self.book.paragraphs())
        if self.error is not None:
            message = f"{self.error}; {count} paragraphs are kept: continue with {command}"
            raise type(self.error)(message) from self.error
        prefix = "interrupted: " if code == 130 else ""
        say(f"{prefix}{count} paragraphs are kept; continue with: {command}")


def _outline(path: str | None, text: str | None, follow: bool) -> str | None:
    """The outline, None to continue without; UsageError if it is missing or empty."""
    if path is not None and text is not None:
        raise UsageError("OUTLINE and --text both give the outline: use one of them")
    if path is None and text is None:
        if follow:
            return None
        raise UsageError(
            "there is no outline: use memagent write OUTLINE, or continue a text with -c"
        )
    given = text if path is None else options.read_file(path)
    if not given or not given.strip():
        raise UsageError("the outline is empty: say in a few sentences what the text is about")
    return given


def _name(memory: Namespace, session: str | None, path: str | None, follow: bool) -> str:
    """The session of the text: the named one, the newest to continue, or a new one."""
    from memagent.agent.session import new_name
    from memagent.writing.book import newest_book

    if follow:
        return session or newest_book(memory)
    if session is not None:
        known = memory.sources.find(session, "session")
        if known is not None and known.chars:
            raise UsageError(
                f"there is a session {session!r} already: continue it with -c, or choose another "
                "name with -s"
            )
        return session
    stem = "" if path in (None, "-") else Path(str(path)).stem
    first = re.sub(r"[^\w.@:+ -]+|\.\.+", "-", stem).strip(" -._")[:80] or new_name()
    return unused_name(memory, first)


def _continue_command(name: str, auto: bool, flags: Mapping[str, object]) -> str:
    """The command that continues the text."""
    parts = ["memagent", "write", "-c", "-s", name, *(["--auto"] if auto else [])]
    for flag, value in flags.items():
        if value is not None:
            parts += ["--" + flag.replace("_", "-"), str(value)]
    return shlex.join(parts)
