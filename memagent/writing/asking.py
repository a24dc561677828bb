"""Asking a model for JSON: a few tries, each told what was wrong with the one before.

Never more than a few: what cannot be had is said, and the caller goes on without it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from memagent.core import Message, Request
from memagent.engines.base import Engine
from memagent.errors import UsageError
from memagent.writing.reply import Unusable

__all__ = ["ATTEMPTS", "Asked", "Call", "ask", "check_writes", "seed_of"]

ATTEMPTS = 3

# Characters of what was wrong that the model is told.
_WRONG = 160

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Call:
    """How an engine is called: `seed` makes every call the same again."""

    engine: Engine
    max_tokens: int
    temperature: float
    seed: tuple[int, ...]
    on_text: Callable[[str], None] = lambda text: None

    def say(
        self, messages: tuple[Message, ...], schema: dict[str, Any], attempt: int, hotter: float = 0
    ) -> str:
        """The whole answer of one call. EngineError as the engine raises it."""
        request = Request(
            messages=messages,
            question=messages[-1].content,
            max_tokens=self.max_tokens,
            temperature=max(self.temperature, hotter),
            seed=seed_of(*self.seed, attempt),
            schema=schema if self.engine.capabilities.structured else None,
        )
        parts = []
        with closing(self.engine.stream(request)) as chunks:  # type: ignore[type-var]
            for chunk in chunks:
                parts.append(chunk.text)
                self.on_text(chunk.text)
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class Asked(Generic[_T]):
    """What was answered: a `value`, or None with all that was `said` and what was `wrong` last."""

    value: _T | None
    said: tuple[str, ...]
    wrong: str


def ask(
    call: Call,
    build: Callable[[str], tuple[Message, ...]],
    schema: dict[str, Any],
    parse: Callable[[str], _T],
) -> Asked[_T]:
    """Ask with the prompt that `build` makes of what was wrong before, at most three times."""
    said: list[str] = []
    wrong = ""
    for attempt in range(1, ATTEMPTS + 1):
        said.append(call.say(build(wrong), schema, attempt))
        try:
            return Asked(parse(said[-1]), tuple(said), "")
        except Unusable as error:
            wrong = str(error)[:_WRONG]
    return Asked(None, tuple(said), wrong)


def seed_of(*parts: int) -> int:
    """A seed made of numbers: the same for the same ones, 31 bits."""
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4]) >> 1


def check_writes(engine: Engine, what: str) -> None:
    """Raise UsageError unless the engine writes."""
    if not engine.capabilities.generates:
        raise UsageError(
            f"{what} needs a model that writes, and {engine.name} only quotes: run one and name it "
            "with --url (memagent doctor shows how)"
        )
