"""Thinking that the chat template opens in the prompt, so that only its closing tag arrives.

All text before that tag was thinking, but text that was shown cannot be taken back. So it must
be known beforehand: from the prompt, where the server shows it, from the name of the model, or
from its earlier answers. While it is not known, the beginning of an answer is held back: for
`PATIENCE` seconds, or up to the first bracket if the answer must be JSON.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from memagent.engines.openai.tags import CLOSER, CLOSERS, OPENERS, TAGS
from memagent.engines.openai.text_filter import CodeSpans, TextFilter, held_back
from memagent.types import Chunk

__all__ = ["PATIENCE", "Opening", "OpeningFilter", "opens_thinking", "thinks_by_name"]

PATIENCE = 0.5  # seconds
_THINKERS = re.compile(
    r"deepseek-?r1|\bqwq\b|thinking|reason(er|ing)\b|-r1\b|glm-?z1|-o1\b|deepscaler|openthinker",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Opening:
    """Whether the prompt of a model opens its thinking; None while it is not known."""

    in_prompt: bool | None = None


def opens_thinking(prompt: str) -> bool:
    """Whether a prompt, or the template that makes it, ends with thinking that is left open.

    Of a template, only the part after its last `add_generation_prompt` counts.
    """
    _, is_template, after = prompt.rpartition("add_generation_prompt")
    end = after.lower() if is_template else prompt.rstrip()[-40:].lower()
    return any(end.rfind(opener) > end.rfind(closer) for opener, closer in TAGS.items())


def thinks_by_name(model: str) -> bool:
    """Whether the name of a model says that it always thinks before it answers."""
    return _THINKERS.search(model) is not None


class OpeningFilter(TextFilter):
    """Turns text that a lone closing tag shows to be thinking into `Chunk.thinking`.

    opening: what is known of the model; updated with what this answer shows. is_json: the answer
    must be JSON, so that nothing before its first bracket belongs to it.

    If thinking was expected but never closed, and the model ended by itself, the text was its
    answer, and is passed on as such.
    """

    def __init__(self, opening: Opening, *, is_json: bool = False) -> None:
        self._opening = opening
        self._is_json = is_json
        self._state: Literal["unknown", "thinking", "text"] = "unknown"
        if opening.in_prompt is False and not is_json:
            self._state = "text"
        self._pieces: list[str] = []  # while unknown: as they came
        self._since = 0.0
        self._held = ""
        self._thinking = ""

    def text(self, text: str) -> Iterator[Chunk]:
        """The text, or thinking; nothing while it is not known which of the two it is."""
        if self._state == "text":
            yield Chunk(text=text)
        elif self._state == "thinking":
            yield from self._think(text)
        else:
            self._since = self._since or time.monotonic()
            self._pieces.append(text)
            yield from self._decide("".join(self._pieces))

    def thinking(self, thinking: str) -> Iterator[Chunk]:
        """Thinking that the server has separated itself; its text is free of it."""
        if self._state == "unknown":
            self._opening.in_prompt = False
            yield from self.release()
        yield Chunk(thinking=thinking)

    def release(self) -> Iterator[Chunk]:
        """What is held, as thinking or text."""
        if self._state == "unknown":
            yield from self._as_text()
        elif self._held:
            self._thinking += self._held
            yield Chunk(thinking=self._held)
            self._held = ""

    def end(self, last: Chunk) -> Iterator[Chunk]:
        """The rest, and the last chunk."""
        state = self._state
        yield from self.release()
        if last.finish == "stop" and state == "thinking" and not last.tool_calls:
            self._opening.in_prompt = False
            yield Chunk(text=self._thinking.strip())
        elif last.finish == "stop" and state == "unknown" and not self._is_json:
            self._opening.in_prompt = False
        yield last

    def _decide(self, begun: str) -> Iterator[Chunk]:
        """Go on with text or thinking, once the beginning of the answer shows which it is."""
        start = begun.lstrip().lower()
        lone = CLOSER.search(begun)
        if lone:
            before = begun[: lone.start()]
            opened = any(opener in before.lower() for opener in OPENERS)
            lone = None if opened or CodeSpans().inside(before) else lone
        if start.startswith(OPENERS):
            yield from self._as_text()
        elif any(opener.startswith(start) for opener in OPENERS):
            return
        elif lone:
            yield from self._as_thinking()
        elif self._is_json and start[0] in "{[":
            yield from self._as_text()
        elif self._opening.in_prompt:
            yield from self._as_thinking()
        elif not self._is_json and time.monotonic() - self._since >= PATIENCE:
            yield from self._as_text()

    def _as_text(self) -> Iterator[Chunk]:
        self._state = "text"
        for piece in self._pieces:
            yield Chunk(text=piece)
        self._pieces = []

    def _as_thinking(self) -> Iterator[Chunk]:
        self._state = "thinking"
        yield from self._think("".join(self._pieces).lstrip())

    def _think(self, text: str) -> Iterator[Chunk]:
        self._held += text
        closer = CLOSER.search(self._held)
        end = closer.start() if closer else len(self._held) - held_back(self._held, CLOSERS)
        thinking, after = self._held[:end], self._held[closer.end() if closer else end :]
        self._thinking += thinking
        if thinking:
            yield Chunk(thinking=thinking)
        if closer is None:
            self._held = after
            return
        self._opening.in_prompt, self._state, self._held = True, "text", ""
        if after:
            yield Chunk(text=after)
