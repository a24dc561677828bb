"""Read turns from a pipe, a file, or a terminal that shows only plain text."""

from __future__ import annotations

import sys
from collections.abc import Callable

from memagent.cli.chat.blocks import BlockDroppedError
from memagent.cli.chat.interrupts import Interrupts, SecondPress
from memagent.errors import InputError, UsageError

__all__ = ["Plain"]


class Plain:
    """Reads lines of stdin. If `interactive`, it prompts on stderr and Ctrl-C drops the line."""

    def __init__(
        self, interrupts: Interrupts, note: Callable[[str], None], *, interactive: bool
    ) -> None:
        self.interactive = interactive
        self.press = SecondPress(note)
        self._interrupts = interrupts
        self._number = 0

    def read(self, inside: bool) -> str | None:
        """The next line without its line ending, None after the last one.

        Raises KeyboardInterrupt to leave, and InputError for a line that is not UTF-8.
        """
        self.press.before_prompt()
        while True:
            try:
                raw = self._raw(". " if inside else "> ")
            except KeyboardInterrupt:
                self._interrupts.reset()
                if not self.interactive:
                    raise
                sys.stderr.write("\n")
                if inside:
                    raise BlockDroppedError from None
                self.press.pressed()
                continue
            self.press.reset()
            return self._decoded(raw) if raw else None

    def confirm(self, question: str) -> bool:
        """Ask the user; without a terminal, the answer is no."""
        if not self.interactive:
            return False
        return self._raw(f"{question} [y/N] ").strip().lower() in (b"y", b"yes")

    def edit(self, text: str, *, lines: bool = True) -> str | None:
        """Raise UsageError: a plain terminal cannot edit."""
        raise UsageError("this terminal cannot edit: set EDITOR, or add and drop single lines")

    def _raw(self, prompt: str) -> bytes:
        if self.interactive:
            sys.stderr.write(prompt)
            sys.stderr.flush()
        with self._interrupts.armed():
            return sys.stdin.buffer.readline()

    def _decoded(self, raw: bytes) -> str:
        self._number += 1
        if self._number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        try:
            return raw.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise InputError(
                f"line {self._number} is not UTF-8 (byte {error.start + 1}): it was skipped; "
                "convert the input and send the line again"
            ) from error
