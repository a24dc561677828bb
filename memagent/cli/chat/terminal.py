"""The prompt on a terminal, with editing, history and completion."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from prompt_toolkit import PromptSession
from prompt_toolkit.application import create_app_session, get_app
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import History
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import create_output
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.shortcuts import CompleteStyle

from memagent.cli.chat.blocks import BlockDroppedError
from memagent.cli.chat.interrupts import Interrupts, SecondPress

__all__ = ["Terminal"]


class _Words(Completer):
    """Completes the first word of a line that begins with a slash."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterator[Completion]:
        typed = document.text_before_cursor
        if typed.startswith("/"):
            for word in self._words:
                if word.startswith(typed):
                    yield Completion(word, start_position=-len(typed))


class Terminal:
    """Reads lines with prompt_toolkit; `words` are completed with Tab."""

    interactive = True

    def __init__(
        self,
        interrupts: Interrupts,
        note: Callable[[str], None],
        history: History,
        words: Sequence[str],
    ) -> None:
        self.press = SecondPress(note)
        self._interrupts = interrupts
        # stdout may be redirected: the prompt goes to where the user can see it.
        self._output = create_output(sys.stdout if sys.stdout.isatty() else sys.stderr)
        if isinstance(self._output, Vt100_Output):
            # Not every terminal answers a request for the cursor position; do not ask for it.
            self._output.enable_cpr = False
        self._session: PromptSession[str] = PromptSession(
            history=history,
            completer=_Words(words),
            complete_while_typing=False,
            complete_style=CompleteStyle.READLINE_LIKE,
            key_bindings=self._keys(),
            output=self._output,
            enable_suspend=True,
        )

    def read(self, inside: bool) -> str | None:
        """The next line (a paste may hold several), None for Ctrl-D.

        Raises KeyboardInterrupt to leave, and BlockDroppedError for Ctrl-C on an empty line of a
        block.
        """
        self.press.before_prompt()
        while True:
            try:
                with self._shown():
                    text = self._session.prompt(". " if inside else "> ", pre_run=self._catch_up)
            except EOFError:
                return None
            except KeyboardInterrupt:
                if inside:
                    raise BlockDroppedError from None
                self.press.pressed()
                continue
            self.press.reset()
            return text

    def confirm(self, question: str) -> bool:
        """Whether the user says yes. Raises KeyboardInterrupt for Ctrl-C."""
        try:
            with self._shown():
                asked: PromptSession[str] = PromptSession(output=self._output)
                return asked.prompt(f"{question} [y/N] ").strip().lower() in ("y", "yes")
        except EOFError:
            return False

    def edit(self, text: str, *, lines: bool = True) -> str | None:
        """The edited text, None if the edit was cancelled; Enter ends it if `lines` is false."""
        try:
            with self._shown():
                editor: PromptSession[str] = PromptSession(output=self._output, multiline=lines)
                return editor.prompt("" if lines else "> ", default=text)
        except (EOFError, KeyboardInterrupt):
            return None

    @contextmanager
    def _shown(self) -> Iterator[None]:
        # Anything that other threads print appears above the prompt.
        with create_app_session(output=self._output), patch_stdout(raw=True):
            yield

    def _catch_up(self) -> None:
        # From here on Ctrl-C is a key press; a signal that came earlier counts as one.
        if self._interrupts.reset():
            get_app().exit(exception=KeyboardInterrupt())

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("c-c")
        @keys.add("<sigint>")
        def _interrupt(event: KeyPressEvent) -> None:
            if event.current_buffer.text:
                event.current_buffer.reset()
                self.press.reset()
            else:
                event.app.exit(exception=KeyboardInterrupt())

        return keys
