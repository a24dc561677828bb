"""Requests for the tests of served engines, and the refusal of a server without a chat template."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from memagent.engines.openai.engine import VllmEngine
from memagent.types import Message, Request

__all__ = ["NO_TEMPLATE", "Attach", "ask"]

Attach = Callable[..., VllmEngine]
NO_TEMPLATE = {
    "error": {
        "message": "As of transformers v4.44, default chat template is no longer allowed, so you "
        "must provide a chat template if the tokenizer does not define one.",
        "type": "BadRequestError",
        "code": 400,
    }
}


def ask(question: str = "Where is the key?", **fields: Any) -> Request:
    """A request whose prompt is the question alone."""
    return Request(messages=(Message("user", question),), question=question, **fields)
