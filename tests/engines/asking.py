"""Requests for the tests of served engines, and the refusal of a server without a chat template."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from memagent.engines.openai.engine import VllmEngine
from memagent.types import Chunk, Message, Request

__all__ = ["NO_TEMPLATE", "SEARCH", "Answered", "Attach", "ask", "read"]

Attach = Callable[..., VllmEngine]
NO_TEMPLATE = {
    "error": {
        "message": "As of transformers v4.44, default chat template is no longer allowed, so you "
        "must provide a chat template if the tokenizer does not define one.",
        "type": "BadRequestError",
        "code": 400,
    }
}
SEARCH: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "search_memory",
        "parameters": {
            "type": "object",
            "properties": {"query": {"type": "string"}, "number": {"type": "integer"}},
        },
    },
}


@dataclass(frozen=True)
class Answered:
    """A streamed answer put together."""

    text: str
    thinking: str
    last: Chunk

    @property
    def calls(self) -> list[tuple[str, dict[str, Any]]]:
        return [(call.name, call.arguments) for call in self.last.tool_calls]


def read(chunks: Iterable[Chunk]) -> Answered:
    """Read an answer to its end; only its last chunk has a finish reason."""
    given = list(chunks)
    assert [chunk.finish is None for chunk in given] == [True] * (len(given) - 1) + [False]
    text = "".join(chunk.text for chunk in given)
    return Answered(text, "".join(chunk.thinking for chunk in given), given[-1])


def ask(question: str = "Where is the key?", **fields: Any) -> Request:
    """A request whose prompt is the question alone."""
    return Request(messages=(Message("user", question),), question=question, **fields)
