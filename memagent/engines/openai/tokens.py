"""What a server says of tokens: how many a text has, which, and how likely each of them is.

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
    """The tokens of a model on a server. Exact on vLLM; llama.cpp counts too."""

    def __init__(self, server: OpenAIServer, model: str, *, is_vllm: bool) -> None:
        self._server = server
        self._model = model
        self._is_vllm = is_vllm
        self._counts_exactly = True
        self.count = lru_cache(maxsize=4096)(self._counted)

    def _counted(self, text: str) -> int:
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
        """Tokens of a prompt by the model's chat template; None where it has none. vLLM only."""
        body = {"model": self._model, "messages": messages, "add_generation_prompt": True}
        count = self._server.probe("/tokenize", body).get("count")
        return count if isinstance(count, int) else None

    def read(self, text: str, *, special: bool = False) -> tuple[list[int], list[str]]:
        """The ids of a text's tokens and how its vocabulary writes them. vLLM only.

        `special` has the opening token added, where the tokenizer adds one. Raises EngineError.
        """
        body = {
            "model": self._model,
            "prompt": text,
            "add_special_tokens": special,
            "return_token_strs": True,
        }
        answer = self._server.request("/tokenize", body)
        ids, written = answer.get("tokens"), answer.get("token_strs") or []
        if not isinstance(ids, list) or not isinstance(written, list) or len(ids) != len(written):
            raise EngineError(
                f"the server at {self._server.root} does not say how its tokens are written: "
                "vLLM 0.32 does"
            )
        return [int(token) for token in ids], [str(token) for token in written]

    def logprobs(self, prompts: Sequence[Sequence[int]]) -> list[list[float]]:
        """For each prompt the natural-log probability of each token given those before it.

        The first of each is 0.0. All go in one request, at most `context` - 1 tokens each. vLLM
        only. Raises EngineError.
        """
        asked = [list(tokens) for tokens in prompts if len(tokens) > 1]
        body = {"model": self._model, "prompt": asked, "max_tokens": 1, "prompt_logprobs": 0}
        answer = self._server.request("/v1/completions", body) if asked else {"choices": []}
        try:
            choices = sorted(answer["choices"], key=lambda choice: choice["index"])
            found = [
                _of(tokens, choice["prompt_logprobs"])
                for tokens, choice in zip(asked, choices, strict=True)
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise EngineError(
                f"the server at {self._server.root} answered without prompt log-probabilities"
            ) from error
        scored = iter(found)
        return [next(scored) if len(tokens) > 1 else [0.0] * len(tokens) for tokens in prompts]


def _of(tokens: list[int], given: list[dict[str, Any]]) -> list[float]:
    """The log-probabilities of the tokens themselves out of what the server tells of each place."""
    pairs = zip(tokens[1:], given[1:], strict=True)
    return [0.0, *(float(at[str(token)]["logprob"]) for token, at in pairs)]


def estimated_tokens(text: str) -> int:
    """A count on the safe side where no tokenizer is at hand.

    The larger of 1.5 a word and one every 3 bytes of UTF-8; bytes, so that scripts of one
    token a character (Chinese, Japanese) are not undercounted.
    """
    return math.ceil(max(len(text.split()) * 1.5, len(text.encode()) / 3))
