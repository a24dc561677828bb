"""Separates the thinking that a reasoning model writes between tags from its answer.

The module `opening` handles thinking of which only the closing tag arrives.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

from memagent.engines.openai.opening import Opening
from memagent.engines.openai.tags import CLOSERS, OPENERS, TAGS
from memagent.engines.openai.text_filter import CodeSpans, TextFilter, held_back
from memagent.types import Chunk

__all__ = ["ThinkingFilter"]

logger = logging.getLogger(__name__)

# Some models also wrap their answer in a tag, after they have thought.
_WRAPPERS = ("<answer>", "<response>")
_WRAPPER_ENDS = ("</answer>", "</response>")
_ALL = (*OPENERS, *CLOSERS, *_WRAPPERS, *_WRAPPER_ENDS)
_TAG = re.compile("|".join(map(re.escape, _ALL)), re.IGNORECASE)


class ThinkingFilter(TextFilter):
    """Turns the thinking between tags into `Chunk.thinking`.

    Thinking begins at the start of the answer, or later at the start of a line outside code; there
    it is text if it is never closed. A tag anywhere else is a part of the answer. A closing tag
    without an opening one is removed, and noted in `opening` for the next answer. is_json: the
    answer must be JSON, so that tags only count before it.
    """

    def __init__(self, opening: Opening, *, is_json: bool = False) -> None:
        self._opening = opening
        self._is_json = is_json
        self._held = ""
        self._code = CodeSpans()
        self._closer = ""  # of the thinking that is being read
        self._opener = ""  # the same, where only the closing tag will prove that it is thinking
        self._thought = self._wrote = self._wrapped = False

    def text(self, text: str) -> Iterator[Chunk]:
        """The parts of the text; a part of a tag is held back."""
        self._held += text
        while True:
            if self._closer:
                at = self._held.lower().find(self._closer)
                if at < 0:
                    break
                yield from self._think(at)
                self._held = self._held[len(self._closer) :]
                self._closer = self._opener = ""
            self._trim()
            tag = _TAG.search(self._held)
            if tag is None:
                break
            yield from self._read_tag(tag)
        if not self._closer:
            length = len(self._held) - held_back(self._held, _ALL)
            # White space before thinking is no part of the answer.
            if self._wrote or self._held[:length].strip():
                yield from self._write(length)
        elif not self._opener:
            yield from self._think(len(self._held) - held_back(self._held, [self._closer]))

    def thinking(self, thinking: str) -> Iterator[Chunk]:
        """Thinking that is separated already."""
        self._thought = self._thought or not self._wrote
        yield Chunk(thinking=thinking)

    def release(self) -> Iterator[Chunk]:
        """What is held, as thinking or text."""
        if self._closer and not self._opener:
            yield from self._think(len(self._held))
        else:
            self._held = self._opener + self._held
            yield from self._write(len(self._held))

    def _read_tag(self, tag: re.Match[str]) -> Iterator[Chunk]:
        """Read on to the end of a tag in the text that is held."""
        name, before = tag.group().lower(), self._held[: tag.start()]
        begins = not self._wrote and not before.strip()
        in_code = (self._is_json and not begins) or self._code.inside(before)
        if name in OPENERS and (begins or (self._code.at_line_start(before) and not in_code)):
            yield from self._write(0 if begins else tag.start())
            self._closer = TAGS[name]
            self._opener = "" if begins else tag.group()
        elif name in CLOSERS and not in_code:
            yield from self._write(tag.start())
            self._learn(before)
        elif name in _WRAPPERS and begins and self._thought:
            self._wrapped = True
        elif name in _WRAPPER_ENDS and self._wrapped and not in_code:
            yield from self._write(tag.start())
        else:
            yield from self._write(tag.end())
            return
        self._held = self._held[self._held.lower().index(name) + len(name) :]

    def _learn(self, before: str) -> None:
        if not self._opening.in_prompt:
            self._opening.in_prompt = True
            if self._wrote:
                logger.warning(
                    "the model's thinking was shown as part of its answer, because nothing marked "
                    "where it began; from now on it is kept separate"
                )
        self._thought, self._wrote = True, False

    def _trim(self) -> None:
        if self._thought and not self._wrote:
            self._held = self._held.lstrip()

    def _think(self, length: int) -> Iterator[Chunk]:
        text, self._held = self._held[:length], self._held[length:]
        if not self._thought:
            text = text.lstrip()
        if text:
            self._thought = True
            yield Chunk(thinking=text)

    def _write(self, length: int) -> Iterator[Chunk]:
        text, self._held = self._held[:length], self._held[length:]
        if text:
            self._code.add(text)
            self._wrote = self._wrote or bool(text.strip())
            yield Chunk(text=text)
