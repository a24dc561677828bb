"""Writing on a terminal: the plans are shown, a person chooses, edits, or takes back.

Knows nothing of how a step is made and stored.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from prompt_toolkit.history import InMemoryHistory

from memagent.cli.chat.blocks import BlockDroppedError
from memagent.cli.chat.conversation import Reader
from memagent.cli.chat.interrupts import Interrupts
from memagent.cli.chat.lines import change, edited
from memagent.cli.chat.plain import Plain
from memagent.cli.chat.screen import Screen
from memagent.cli.render.output import say, write
from memagent.errors import MemagentError, NotFoundError, UsageError
from memagent.writing.writer import GO_ON, Step, Writer

__all__ = ["converse"]

_HELP = """\
N            write by plan N
e N          edit plan N, then write by it
any text     write by a plan of your own
/memory […]  the working memory: show, edit, add LINE, diff, undo, drop N
/plan […]    the plans, likewise
/edit        edit the newest paragraph
/undo        take the newest paragraph back, with its memory and plans
/text        the whole text so far
/quit        leave; memagent write -c goes on
Ctrl-C       stops a paragraph, of which nothing is kept; twice leaves"""
_WORDS = ["/memory", "/plan", "/edit", "/undo", "/text", "/help", "/quit"]


def converse(
    writer: Writer,
    steps: int | None,
    shown: Callable[[Step], None],
    changed: Callable[[], None],
) -> int:
    """Write with a person until they leave or there are `steps` paragraphs; returns the exit code.

    `shown` gets each step that is stored; `changed` is called when the text has changed otherwise.
    """
    screen = Screen()
    with Interrupts() as interrupts:
        desk = _Desk(writer, screen, _reader(interrupts, screen), interrupts, shown, changed)
        screen.note(f"text {writer.book.source.name}, engine {writer.engine.name}; /help helps")
        while desk.code is None and not (steps and len(writer.book.paragraphs()) >= steps):
            try:
                desk.turn()
            except MemagentError as error:
                screen.end_line()
                say(" ".join(str(error).split("\n")))
            except BlockDroppedError:
                continue
            except KeyboardInterrupt:
                desk.code = 130
    return desk.code or 0


def _reader(interrupts: Interrupts, screen: Screen) -> Reader:
    shown = sys.stdout.isatty() or sys.stderr.isatty()
    if not shown or os.environ.get("TERM", "dumb").lower() in ("dumb", "unknown"):
        return Plain(interrupts, screen.note, interactive=True)
    from memagent.cli.chat.terminal import Terminal

    return Terminal(interrupts, screen.note, InMemoryHistory(), _WORDS)


class _Desk:
    """A book, a screen, a person. `code` is the exit code once they leave."""

    def __init__(
        self,
        writer: Writer,
        screen: Screen,
        reader: Reader,
        interrupts: Interrupts,
        shown: Callable[[Step], None],
        changed: Callable[[], None],
    ) -> None:
        self.writer = writer
        self.book = writer.book
        self.screen = screen
        self.reader = reader
        self.interrupts = interrupts
        self.shown = shown
        self.changed = changed
        self.code: int | None = None
        self._opened = bool(self.book.paragraphs())

    def turn(self) -> None:
        """Open the text, or show the plans and carry out what is typed."""
        if not self._opened:
            self._opened = True
            self._write(None)
            return
        plans = self.book.plans.lines()
        begun = bool(self.book.paragraphs())
        if begun and plans:
            self.screen.note("\n".join(f"{n}. {plan}" for n, plan in enumerate(plans, start=1)))
        elif begun:
            self.screen.note("(no plan: write one, or press Enter to go on)")
        else:
            self.screen.note("(no paragraph: press Enter to open the text)")
        line = self.reader.read(False)
        if line is None:
            self.code = 0
        elif line.startswith("/"):
            self._obey(line.strip())
        elif not begun:
            self._write(None)
        elif plan := self._plan(line.strip(), plans):
            self._write(plan)

    def _plan(self, line: str, plans: list[str]) -> str | None:
        verb, _, number = line.rpartition(" ")
        if number.isascii() and number.isdigit() and verb in ("", "e"):
            if not 1 <= int(number) <= len(plans):
                raise NotFoundError(f"there is no plan {number}: there are {len(plans)}")
            plan = plans[int(number) - 1]
            changed = self.reader.edit(plan, lines=False) if verb else plan
            return changed.strip() if changed else None
        return line or (None if plans else GO_ON)

    def _write(self, plan: str | None) -> None:
        self.interrupts.take()
        step = None
        before = len(self.book.paragraphs())
        try:
            with self.interrupts.armed():
                step = self.writer.step(plan)
        except KeyboardInterrupt:
            # It may have come a moment after the paragraph was stored.
            kept = "the" if len(self.book.paragraphs()) > before else "nothing of this"
            self.screen.stopped(f"(stopped; {kept} paragraph is kept)")
            self.reader.press.stopped()
        if step is not None:
            self.shown(step)
        if self.interrupts.take() > 1:
            self.code = 130

    def _obey(self, line: str) -> None:
        name, _, argument = line.partition(" ")
        if name in ("/memory", "/plan"):
            change(self, self.book.working if name == "/memory" else self.book.plans, argument)
        elif name == "/edit":
            self._edit()
        elif name == "/undo":
            self.screen.note(f"(paragraph {self.book.undo()} is taken back)")
            self.changed()
        elif name == "/text":
            write(self.book.text())
        elif name == "/help":
            self.screen.note(_HELP)
        elif name == "/quit":
            self.code = 0
        else:
            raise UsageError(f"no command {name}: /help lists them")

    def _edit(self) -> None:
        paragraphs = self.book.paragraphs()
        if not paragraphs:
            raise NotFoundError("there is no paragraph to edit yet")
        before = paragraphs[-1].text
        after = edited(self, before)
        if after is None or not after.strip() or after.strip() == before.strip():
            self.screen.note("(nothing was changed)")
            return
        self.book.edit(after.strip())
        self.changed()
        self.screen.note("(the next paragraph goes on from this one)")
