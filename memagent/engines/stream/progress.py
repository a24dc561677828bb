"""Log how far the model has read: nothing is answered before that, and it may take minutes."""

from __future__ import annotations

import logging
import time

__all__ = ["Progress"]

logger = logging.getLogger(__name__)

_FIRST_SECONDS = 1.0
_EVERY_SECONDS = 10.0


class Progress:
    """Counts the tokens read for one answer; the first message comes after a second."""

    def __init__(self, model: str) -> None:
        self.model = model
        self._passages = ""
        self._tokens = 0
        self._due = float("inf")

    def begin(self) -> None:
        """Start counting."""
        self._tokens, self._passages = 0, ""
        self._due = time.monotonic() + _FIRST_SECONDS

    def end(self) -> None:
        """Stop counting: what is read from now on is the answer itself."""
        self._due = float("inf")

    def passages(self, done: int, total: int) -> None:
        """Note how many of the stored passages that were new to the model have been read."""
        self._passages = f", {done:,} of {total:,} stored passages"

    def step(self, tokens: int) -> None:
        """Count tokens that were read, and log a message if one is due."""
        self._tokens += tokens
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + _EVERY_SECONDS
            logger.info(
                "%s is reading: %s tokens so far%s",
                self.model,
                f"{self._tokens:,}",
                self._passages,
            )
