"""A session on a screen: asking, asking again, and what one Ctrl-C or a lost server leaves.

Knows nothing of slash commands and of how turns are typed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from memagent.agent.session import Session
from memagent.cli.chat.history import ChatHistory
from memagent.cli.chat.interrupts import Interrupts, SecondPress
from memagent.cli.chat.screen import Screen
from memagent.cli.render.output import say, sources_text
from memagent.errors import EngineError, MemagentError, NotFoundError
from memagent.types import Answer

if TYPE_CHECKING:
    from memagent.cli.chat.background import Background
    from memagent.memory.events import Filter
    from memagent.types import Span

__all__ = ["Conversation", "Reader"]


class Reader(Protocol):
    """Where turns come from; `interactive` says that a person can be asked."""

    interactive: bool
    press: SecondPress

    def read(self, inside: bool) -> str | None:
        """The next line, None at the end; `inside` says that a block is open."""

    def confirm(self, question: str) -> bool:
        """Whether a person agrees."""

    def edit(self, text: str, *, lines: bool = True) -> str | None:
        """The text as a person changed it, None if they gave up; one line without `lines`."""


class Conversation:
    """The session, the newest answer, and the exit code when `over`.

    From a pipe the exit code is that of the last error; a person has seen the errors.
    """

    def __init__(
        self,
        session: Session,
        reader: Reader,
        screen: Screen,
        interrupts: Interrupts,
        history: ChatHistory,
        background: Background | None = None,
        where: Filter | None = None,
    ) -> None:
        self.session = session
        self.memory = session.memory
        self.reader = reader
        self.screen = screen
        self.interrupts = interrupts
        self.history = history
        self.background = background
        self.where = where
        self.last: Answer | None = session.last_answer()
        self.code = 0
        self.over = False

    def ask(self, text: str) -> None:
        """Store a turn and answer it."""
        self.interrupts.take()
        turn = self.session.say(text)
        self._reply(turn)

    def retry(self) -> None:
        """Answer the newest turn again."""
        self.interrupts.take()
        turn, answers = self.session.last_exchange()
        self.memory.withdraw(answers)
        self._reply(turn)

    def the_answer(self) -> Answer:
        """The newest answer; NotFoundError before the first."""
        if self.last is None:
            raise NotFoundError("there is no answer yet: ask something first")
        return self.last

    def reload(self) -> None:
        """Read the newest answer again, after something was taken back or forgotten."""
        self.last = self.session.last_answer()

    def fail(self, error: MemagentError) -> None:
        """Say what went wrong, in one line; the conversation goes on."""
        self.screen.end_line()
        say(" ".join(str(error).split("\n")))
        if not self.reader.interactive:
            self.code = error.exit_code

    def leave(self, code: int) -> None:
        """End the conversation."""
        self.code, self.over = code, True

    def _reply(self, turn: Span) -> None:
        self._answer(
            lambda hear, ask: self.session.answer(turn, where=self.where, on_text=hear, confirm=ask)
        )

    def _answer(
        self, answer: Callable[[Callable[[str], None], Callable[[str], bool]], Answer]
    ) -> None:
        given: Answer | None = None
        try:
            with self.interrupts.armed():
                if self.background is not None:
                    self.background.ready.wait()
                given = answer(self.screen.stream, self._confirm)
        except KeyboardInterrupt:
            pass
        except EngineError as error:
            raise EngineError(f"{error}; the turn is kept, and /retry asks again") from error
        finally:
            self.reload()
            if self.background is not None:
                self.background.wake()
        if given is not None and (given.text or given.state == "complete"):
            self._show_end(given)
        stopped = given is None or given.state == "partial"
        if stopped:
            kept = "part" if given is not None and given.text else "turn"
            self.screen.stopped(f"(stopped; the {kept} is kept)")
            self.reader.press.stopped()
        presses = self.interrupts.take()
        if presses > 1 or (not self.reader.interactive and (presses or stopped)):
            self.leave(130)

    def _show_end(self, given: Answer) -> None:
        if given.text:
            self.screen.end_line()
        else:
            self.screen.note("(the engine said nothing)")
        if lines := sources_text(given):
            self.screen.dim(lines)

    def _confirm(self, question: str) -> bool:
        if not self.reader.interactive:
            return False
        self.screen.note(question)
        return self.reader.confirm("Forget it?")
