"""How fast a server reads a prompt, measured once and kept for the next start of the program."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from memagent.engines.openai.tokens import estimated_tokens
from memagent.types import Chunk, Message

__all__ = ["ReadingSpeed"]

logger = logging.getLogger(__name__)

# Shorter prompts take longer to send than to read.
_LEAST_TOKENS = 200


class ReadingSpeed:
    """Tokens of prompt per second of one model on one server.

    Only the first long prompt of a run counts: parts of later ones may come from the server's
    cache. The measurements of several runs are averaged, the newest counting half. `file` keeps
    them; without one they end with the run.
    """

    def __init__(self, file: Path | None, server: str, model: str) -> None:
        self._file = file
        self._key = f"{model} at {server}"
        self._measured = False
        self.tokens_per_second = self._read().get(self._key)

    def timed(self, chunks: Iterable[Chunk], messages: Sequence[Message]) -> Iterator[Chunk]:
        """The chunks of an answer, measuring how long its first word takes."""
        started = time.monotonic()
        seconds, tokens = 0.0, 0
        for chunk in chunks:
            if not seconds and (chunk.text or chunk.thinking):
                seconds = time.monotonic() - started
            if chunk.usage is not None:
                tokens = chunk.usage.prompt
            yield chunk
        self.measure(tokens or sum(estimated_tokens(each.content) for each in messages), seconds)

    def measure(self, tokens: int, seconds: float) -> None:
        """Note that the first token after a prompt of `tokens` took `seconds`."""
        if self._measured or tokens < _LEAST_TOKENS or seconds <= 0:
            return
        self._measured = True
        new = tokens / seconds
        old = self.tokens_per_second
        self.tokens_per_second = new if old is None else (old + new) / 2
        self._write()

    def _read(self) -> dict[str, float]:
        if self._file is None:
            return {}
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        items = kept.items() if isinstance(kept, dict) else ()
        return {
            str(key): float(value)
            for key, value in items
            if isinstance(value, int | float) and value > 0
        }

    def _write(self) -> None:
        if self._file is None or self.tokens_per_second is None:
            return
        kept = self._read() | {self._key: round(self.tokens_per_second, 1)}
        part = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(kept), encoding="utf-8")
            part.replace(self._file)
        except OSError as error:
            logger.debug("the reading speed was not kept: %s", error)
