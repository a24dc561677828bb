"""What a server reports about tokens: their number, their ids, and their log-probabilities.

Knows nothing of requests and answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from memagent.engines.openai.server import OpenAIServer
from memagent.errors import EngineError

__all__ = ["ServedTokens", "estimated_tokens"]


class ServedTokens:
    """The tokens of a model on a server. Exact on vLLM; llama.cpp only counts."""

    def __init__(self, server: OpenAIServer, model: str, *, is_vllm: bool) -> None:
        self._server = server
        self._model = model
        self._is_vllm = is_vllm
        self._counts_exactly = True
        self.count = lru_cache(maxsize=4096)(self._count)

    def _count(self, text: str) -> int:
        """Tokens of `text` without special tokens."""
        if not self._counts_exactly:
            return estimated_tokens(text)
        body: dict[str, Any] = {"content": text}
        if self._is_vllm:
            body = {"model": self._model, "prompt": text, "add_special_tokens": False}
        tokens = self._server.probe("/tokenize", body).get("tokens")
        if isinstance(tokens, list):
            return len(tokens)
        self._counts_exactly = False
        return estimated_tokens(text)

    def count_chat(self, messages: list[dict[str, Any]]) -> int | None:
        """Tokens of a prompt by the model's chat template; None if it has none. vLLM only."""
        count = self._chat(messages).get("count")
        return count if isinstance(count, int) else None

    def chat_prompt(
        self, messages: list[dict[str, Any]], options: dict[str, Any] | None
    ) -> str | None:
        """The prompt that the chat template makes with these options, as its vocabulary writes it.

        None if the server does not tell. vLLM only.
        """
        more: dict[str, Any] = {"return_token_strs": True}
        if options:
            more["chat_template_kwargs"] = options
        written = self._chat(messages, more).get("token_strs")
        return "".join(map(str, written)) if isinstance(written, list) else None

    def read(self, text: str, *, special: bool = False) -> tuple[list[int], list[str]]:
        """The ids of a text's tokens, and each token as its vocabulary writes it. vLLM only.

        With `special`, the opening token is added if the tokenizer has one. Raises EngineError.
        """
        body = {
            "model": self._model,
            "prompt": text,
            "add_special_tokens": special,
            "return_token_strs": True,
        }
        answer = self._server.object("/tokenize", body)
        ids, written = answer.get("tokens"), answer.get("token_strs") or []
        if not isinstance(ids, list) or not isinstance(written, list) or len(ids) != len(written):
            raise EngineError(
                f"the server at {self._server.root} does not return token strings: use vLLM 0.32 "
                "or newer"
            )
        return [int(token) for token in ids], [str(token) for token in written]

    def logprobs(self, prompts: Sequence[Sequence[int]]) -> list[list[float]]:
        """For each prompt the natural-log probability of each token given those before it.

        The first of each is 0.0. All are sent in one request, at most `context` - 1 tokens each.
        vLLM only. Raises EngineError.
        """
        sent = [list(tokens) for tokens in prompts if len(tokens) > 1]
        body = {"model": self._model, "prompt": sent, "max_tokens": 1, "prompt_logprobs": 0}
        answer = self._server.object("/v1/completions", body) if sent else {"choices": []}
        try:
            choices = sorted(answer["choices"], key=lambda choice: choice["index"])
            found = [
                _token_logprobs(tokens, choice["prompt_logprobs"])
                for tokens, choice in zip(sent, choices, strict=True)
            ]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise EngineError(
                f"the server at {self._server.root} answered without prompt log-probabilities"
            ) from error
        scored = iter(found)
        return [next(scored) if len(tokens) > 1 else [0.0] * len(tokens) for tokens in prompts]

    def _chat(
        self, messages: list[dict[str, Any]], more: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        body = {"model": self._model, "messages": messages, "add_generation_prompt": True}
        return self._server.probe("/tokenize", body | (more or {}))


def _token_logprobs(tokens: list[int], given: list[dict[str, Any]]) -> list[float]:
    """The log-probabilities of the tokens, from the server's entry for each position."""
    pairs = zip(tokens[1:], given[1:], strict=True)
    return [0.0, *(float(at[str(token)]["logprob"]) for token, at in pairs)]


def estimated_tokens(text: str) -> int:
    """A cautious count for use without a tokenizer.

    The larger of 1.5 per word and one per 3 bytes of UTF-8; bytes, so that scripts with one
    token per character (Chinese, Japanese) are not undercounted.
    """
    return math.ceil(max(len(text.split()) * 1.5, len(text.encode(errors="replace")) / 3))
