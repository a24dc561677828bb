"""Calling a model for a piece of writing, reproducibly for a given seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from memagent.engines.base import Engine
from memagent.errors import UsageError
from memagent.types import Chunk, Message, Request, Thinking

__all__ = ["Call", "check_writes", "seed_of"]


@dataclass(frozen=True, slots=True)
class Call:
    """The engine and parameters of a call; with the same `seed`, every call is reproducible.

    `thinking` is off by default: a model that thinks spends its tokens before the JSON begins.
    """

    engine: Engine
    max_tokens: int
    temperature: float
    seed: tuple[int, ...]
    on_text: Callable[[str], None] = lambda text: None
    thinking: Thinking = "off"

    def say(
        self, messages: tuple[Message, ...], schema: dict[str, Any], attempt: int, hotter: float = 0
    ) -> Chunk:
        """The complete answer; `hotter` is a minimum temperature. Raises EngineError."""
        request = Request(
            messages=messages,
            question=messages[-1].content,
            max_tokens=self.max_tokens,
            temperature=max(self.temperature, hotter),
            seed=seed_of(*self.seed, attempt),
            schema=schema if self.engine.capabilities.structured else None,
            thinking=self.thinking,
        )
        return self.engine.complete(request, self.on_text)


def seed_of(*parts: int) -> int:
    """A 31-bit seed derived from numbers."""
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4]) >> 1


def check_writes(engine: Engine, what: str) -> None:
    """Raise UsageError if the engine only quotes; `what` names the task in the message."""
    if not engine.capabilities.generates:
        raise UsageError(
            f"{what} needs a model that writes, and {engine.name} only quotes: run one and name it "
            "with --url (memagent doctor shows how)"
        )
