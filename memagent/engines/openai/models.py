"""The models that a server lists: their names, which of them can chat, and their context."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

__all__ = ["chat_models", "context_length", "find_model", "listed_models"]

_NOT_FOR_CHAT = re.compile(
    r"(?<![a-z])(embed|bge|e5|gte|all-minilm|all-mpnet|rerank|colbert|whisper|tts|clip)"
    r"|embed(ding)?s?(?![a-z])|rerank",
    re.IGNORECASE,
)
# vLLM; OpenRouter and Together; Groq; LM Studio.
_CONTEXT_KEYS = ("max_model_len", "context_length", "context_window", "max_context_length")


def listed_models(page: object) -> dict[str, dict[str, Any]]:
    """The entries of the page /v1/models by the names of the models."""
    entries = page.get("data") if isinstance(page, dict) else page
    return {
        entry["id"]: entry
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict) and isinstance(entry.get("id"), str)
    }


def chat_models(names: Iterable[str]) -> list[str]:
    """The names without those of models that embed, rank, hear or speak."""
    return [name for name in names if not _NOT_FOR_CHAT.search(name)]


def find_model(wanted: str, names: Iterable[str]) -> str | None:
    """The listed name that is meant: Ollama's tag `:latest` may be missing, and case may differ."""

    def key(name: str) -> str:
        return name.lower().removesuffix(":latest")

    listed = list(names)
    if wanted in listed:
        return wanted
    return next((name for name in listed if key(name) == key(wanted)), None)


def context_length(entry: dict[str, Any]) -> int | None:
    """The tokens of a listed model's context, if the server tells."""
    lengths = (entry.get(key) for key in _CONTEXT_KEYS)
    return next((n for n in lengths if type(n) is int and n > 0), None)
