"""Interactive writing: the user sees the plans and chooses, edits or undoes.

Knows nothing about how a step is made and stored.
"""

from __future__ import annotations

from collections.abc import Callable

from prompt_toolkit.history import InMemoryHistory

from memagent.cli.chat.blocks import BlockDroppedError
from memagent.cli.chat.input import Reader, open_reader
from memagent.cli.chat.interrupts import Interrupts
from memagent.cli.chat.line_editing import edit_by_hand, edit_lines
from memagent.cli.chat.screen import Screen
from memagent.cli.render.output import say, write
from memagent.errors import MemagentError, NotFoundError, UsageError
from memagent.writing.writer import GO_ON, Step, Writer

__all__ = ["converse"]

_HELP = """\
N            write the next paragraph from plan N
e N          edit plan N, then write from it
any text     write from a plan of your own
/memory […]  the working memory: show, edit, add LINE, diff, undo, drop N
/plan […]    the plans: show, edit, add LINE, diff, undo, drop N
/edit        edit the newest paragraph
/undo        undo the newest paragraph, with its memory and plans
/text        show the whole text so far
/help        show this list
/quit        leave; memagent write -c continues the text
Ctrl-C       stops a paragraph and discards it; press twice to leave"""
_COMMANDS = ["/memory", "/plan", "/edit", "/undo", "/text", "/help", "/quit"]


def converse(
    writer: Writer,
    steps: int | None,
    shown: Callable[[Step], None],
    changed: Callable[[], None],
) -> int:
    """Write with the user until they leave or there are `steps` paragraphs; returns the exit code.

    `shown` gets each step once it is stored; `changed` is called after any other change of the
    text.
    """
    screen = Screen()
    with Interrupts() as interrupts:
        reader = open_reader(interrupts, screen, InMemoryHistory(), _COMMANDS)
        dialog = _Dialog(writer, screen, reader, interrupts, shown, changed)
        screen.note(
            f"text {writer.book.source.name}, engine {writer.engine.name}; /help lists the commands"
        )
        while dialog.code is None and not (steps and len(writer.book.paragraphs()) >= steps):
            try:
                dialog.turn()
            except MemagentError as error:
                screen.end_line()
                say(str(error))
            except BlockDroppedError:
                continue
            except KeyboardInterrupt:
                dialog.code = 130
    return dialog.code or 0


class _Dialog:
    """Writes one text with the user. `code` is the exit code once they leave, None before."""

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
        """Write the first paragraph, or show the plans and carry out what is typed."""
        if not self._opened:
            self._opened = True
            self._write(None)
            return
        plans = self.book.plans.lines()
        begun = bool(self.book.paragraphs())
        if begun and plans:
            self.screen.note("\n".join(f"{n}. {plan}" for n, plan in enumerate(plans, start=1)))
        elif begun:
            self.screen.note("(no plan: type one, or press Enter to continue without)")
        else:
            self.screen.note("(no paragraph yet: press Enter to write the first)")
        line = self.reader.read(False)
        if line is None:
            self.code = 0
        elif line.startswith("/"):
            self._run_command(line.strip())
        elif not begun:
            self._write(None)
        elif plan := self._chosen_plan(line.strip(), plans):
            self._write(plan)

    def _chosen_plan(self, line: str, plans: list[str]) -> str | None:
        verb, _, number = line.rpartition(" ")
        if number.isascii() and number.isdigit() and verb in ("", "e"):
            if not 1 <= int(number) <= len(plans):
                raise NotFoundError(f"there is no plan {number}: there are {len(plans)}")
            plan = plans[int(number) - 1]
            changed = self.reader.edit(plan, lines=False) if verb else plan
            return changed.strip() if changed else None
        return line or (None if plans else GO_ON)

    def _write(self, plan: str | None) -> None:
        self.interrupts.reset()
        step = None
        before = len(self.book.paragraphs())
        try:
            with self.interrupts.armed():
                step = self.writer.step(plan)
        except KeyboardInterrupt:
            # Ctrl-C may have come just after the paragraph was stored.
            stored = len(self.book.paragraphs()) > before
            self.screen.stopped(f"(stopped; the paragraph is {'kept' if stored else 'discarded'})")
            self.reader.press.answer_stopped()
        if step is not None:
            self.shown(step)
        if self.interrupts.reset() > 1:
            self.code = 130

    def _run_command(self, line: str) -> None:
        name, _, argument = line.partition(" ")
        if name in ("/memory", "/plan"):
            edit_lines(self, self.book.working if name == "/memory" else self.book.plans, argument)
        elif name == "/edit":
            self._edit()
        elif name == "/undo":
            self.screen.note(f"(paragraph {self.book.undo()} is undone)")
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
        after = edit_by_hand(self, before)
        if after is None or not after.strip() or after.strip() == before.strip():
            self.screen.note("(nothing was changed)")
            return
        self.book.edit(after.strip())
        self.changed()
        self.screen.note("(the next paragraph continues from this one)")
