"""One session on the screen: ask, retry, and handle Ctrl-C and engine errors.

Knows nothing about slash commands or how turns are typed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from memagent.agent.endings import check_answered, notice
from memagent.agent.session import Session
from memagent.cli.chat.history import ChatHistory
from memagent.cli.chat.input import Reader
from memagent.cli.chat.interrupts import Interrupts
from memagent.cli.chat.screen import Screen
from memagent.cli.render.output import say, sources_text
from memagent.errors import EngineError, MemagentError, NoAnswerError, NotFoundError
from memagent.types import Answer

if TYPE_CHECKING:
    from memagent.cli.chat.background import Background
    from memagent.memory.events import Filter
    from memagent.types import Span

__all__ = ["Conversation"]


class Conversation:
    """A session, its newest answer, and the exit code once the conversation is `over`.

    If the turns come from a pipe, the exit code is that of the last error. In an interactive
    chat it is 0, because the user has seen the errors.
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
        self.interrupts.reset()
        self._answer(self.session.say(text))

    def retry(self) -> None:
        """Answer the newest turn again; the old answer is withdrawn."""
        self.interrupts.reset()
        turn, answers = self.session.last_exchange()
        self.memory.withdraw(answers)
        self._answer(turn)

    def go_on(self) -> None:
        """Continue the newest answer; NotFoundError if it is not one that was cut."""
        self.interrupts.reset()
        self._reply(
            lambda: self.session.continue_answer(
                where=self.where, on_text=self.screen.stream, on_thinking=self.screen.thinking.write
            )
        )

    def newest_answer(self) -> Answer:
        """The newest answer; NotFoundError if there is none yet."""
        if self.last is None:
            raise NotFoundError("there is no answer yet: ask something first")
        return self.last

    def reload(self) -> None:
        """Read the newest answer from the store again, after an undo or a forget."""
        self.last = self.session.last_answer()

    def fail(self, error: MemagentError) -> None:
        """Print the error in one line; the conversation continues."""
        self.screen.end_line()
        say(str(error))
        if not self.reader.interactive:
            self.code = error.exit_code

    def leave(self, code: int) -> None:
        """End the conversation with this exit code."""
        self.code, self.over = code, True

    def _answer(self, turn: Span) -> None:
        self._reply(
            lambda: self.session.answer(
                turn,
                where=self.where,
                on_text=self.screen.stream,
                on_thinking=self.screen.thinking.write,
                confirm=self._confirm,
            )
        )

    def _reply(self, answering: Callable[[], Answer]) -> None:
        answer: Answer | None = None
        try:
            with self.interrupts.armed():
                if self.background is not None:
                    self.background.ready.wait()
                answer = answering()
        except KeyboardInterrupt:
            pass
        except EngineError as error:
            raise EngineError(f"{error}; the turn is kept: /retry asks again") from error
        finally:
            self.reload()
            if self.background is not None:
                self.background.wake()
        if answer is not None:
            self._show_end(answer)
        stopped = answer is None or answer.ended == "interrupted"
        if stopped:
            kept = "part" if answer is not None and answer.text else "turn"
            self.screen.stopped(f"(stopped; the {kept} is kept)")
            self.reader.press.answer_stopped()
        presses = self.interrupts.reset()
        if presses > 1 or (not self.reader.interactive and (presses or stopped)):
            self.leave(130)

    def _show_end(self, answer: Answer) -> None:
        self.screen.end_line()
        if lines := sources_text(answer):
            self.screen.dim(lines)
        max_tokens = self.session.agent.settings.max_tokens
        try:
            check_answered(answer, max_tokens)
        except NoAnswerError as error:
            self.fail(error)
        else:
            if line := notice(answer, max_tokens):
                say(line)

    def _confirm(self, question: str) -> bool:
        if not self.reader.interactive:
            return False
        self.screen.note(question)
        return self.reader.confirm("Forget it?")
