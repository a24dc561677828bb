"""Filters for the text of an answer while it streams, and what they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from memagent.types import Chunk

__all__ = ["CodeSpans", "TextFilter", "held_back"]


class TextFilter(ABC):
    """A step that changes the text of an answer; a filter serves one answer."""

    stopped = False
    """Set by a filter that has found the end of the answer: what follows is not read."""

    def apply(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """The filtered chunks. What a filter holds back is released if the answer breaks off."""
        nats: float | None = None
        try:
            for chunk in chunks:
                nats = chunk.uncertainty if nats is None else nats
                for each in self._filtered(chunk):
                    # The first chunk that is passed on carries the uncertainty.
                    yield each if nats is None else replace(each, uncertainty=nats)
                    nats = None
                if self.stopped or chunk.finish is not None:
                    return
        except Exception:
            yield from self.release()
            raise

    @abstractmethod
    def text(self, text: str) -> Iterable[Chunk]:
        """The chunks for a further piece of text."""

    def thinking(self, thinking: str) -> Iterable[Chunk]:
        """The chunks for a piece of thinking that is separate from the text already."""
        return [Chunk(thinking=thinking)]

    def release(self) -> Iterable[Chunk]:
        """The chunks for what has been held back, at the end of the text."""
        return []

    def end(self, last: Chunk) -> Iterator[Chunk]:
        """The chunks for what has been held back, and the last chunk."""
        yield from self.release()
        yield last

    def _filtered(self, chunk: Chunk) -> Iterator[Chunk]:
        if chunk.finish is not None:
            yield from self.end(chunk)
            return
        if chunk.thinking:
            yield from self.thinking(chunk.thinking)
        if chunk.text:
            yield from self.text(chunk.text)
        if self.stopped:
            yield from self.end(Chunk(finish="stop"))


def held_back(text: str, markers: Sequence[str]) -> int:
    """The length of the end of `text` that may be the beginning of a marker.

    Markers are in lower case; the text is compared without regard to case.
    """
    lowered = text[-max(map(len, markers)) :].lower()
    for length in range(len(lowered), 0, -1):
        tail = lowered[-length:]
        if any(len(marker) > length and marker.startswith(tail) for marker in markers):
            return length
    return 0


class CodeSpans:
    """Whether the end of a Markdown text that grows is inside code, fenced or between backticks."""

    def __init__(self) -> None:
        self._fenced = False
        self._line = ""

    def add(self, text: str) -> None:
        """Append to the text."""
        for line in text.splitlines(keepends=True):
            self._line += line
            if line.endswith("\n"):
                if self._is_fence():
                    self._fenced = not self._fenced
                self._line = ""

    def inside(self, more: str = "") -> bool:
        """Whether the text followed by `more` ends inside code."""
        ahead = self._ahead(more)
        if ahead._fenced:
            return not ahead._is_fence()
        return ahead._is_fence() or ahead._line.count("`") % 2 == 1

    def at_line_start(self, more: str = "") -> bool:
        """Whether only white space stands on the last line of the text followed by `more`."""
        return not self._ahead(more)._line.strip()

    def _ahead(self, more: str) -> CodeSpans:
        ahead = CodeSpans()
        ahead._fenced, ahead._line = self._fenced, self._line
        ahead.add(more)
        return ahead

    def _is_fence(self) -> bool:
        return self._line.lstrip().startswith(("```", "~~~"))
