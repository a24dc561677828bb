"""The engine behind a URL: vLLM, or any other OpenAI-compatible server.

Knows what a server can count, score and stream; the protocol's words, the connection and its
failures are in openai_wire, openai_server and openai_errors.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from memagent.core import Chunk, Message, Request
from memagent.engines.base import Capabilities, Engine
from memagent.engines.openai_errors import is_no_chat_template, is_no_tools
from memagent.engines.openai_server import OpenAIServer
from memagent.engines.openai_wire import (
    PLAIN_STOP,
    chat_chunks,
    chat_messages,
    completion_chunks,
    plain_prompt,
)
from memagent.errors import EngineError

if TYPE_CHECKING:
    import openai
    from openai.types import Completion
    from openai.types.chat import ChatCompletionChunk

__all__ = ["VllmEngine", "estimated_tokens"]

# Context of a server that says nothing of it; what Ollama gives a model unless told otherwise.
_DEFAULT_CONTEXT = 4096


class VllmEngine(Engine):
    """A model on an OpenAI-compatible server.

    url: with or without a trailing /v1. model: a name the server lists; None takes its first.
    context: tokens that prompt and answer share; None takes what the server says. timeout:
    seconds without a byte from the server.

    Nothing is sent before `connect`, which `stream`, `count`, `count_prompt` and `logprobs` call
    when it was not; `model`, `context` and `capabilities` are what the server says after it.
    """

    name = "vllm"

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        api_key: str | None = None,
        context: int | None = None,
        timeout: float = 120.0,
    ) -> None:
        self._server = OpenAIServer(url, api_key=api_key, timeout=timeout)
        self.url = self._server.root
        self.model = model or ""
        self.context = context or _DEFAULT_CONTEXT
        self.capabilities = Capabilities(tools=True)
        self._wanted_context = context
        self._connected = False
        self._is_vllm = False
        self._counts_exactly = True
        self._has_template = True
        self._count = lru_cache(maxsize=4096)(self._tokenized)

    def connect(self) -> VllmEngine:
        """Ask the server for its models, its context and what it can do; returns itself.

        Raises EngineError when it does not answer or does not serve the model asked for.
        """
        if self._connected:
            return self
        served = self._served()
        self.model = self.model or next(iter(served))
        if self.model not in served:
            names = ", ".join(served)
            raise EngineError(
                f"the server at {self.url} does not serve {self.model!r}: "
                f"choose one of {names} with --model"
            )
        self._is_vllm = isinstance(self._server.probe("/version").get("version"), str)
        self.context = self._shared_context(served[self.model])
        self.capabilities = replace(
            self.capabilities, prompt_logprobs=self._is_vllm, structured=self._is_vllm
        )
        self._connected = True
        return self

    def stream(self, request: Request) -> Iterator[Chunk]:
        """Yield the answer as the server writes it; closing the iterator stops the server.

        A model without a chat template gets the prompt as plain text; a server that refuses
        tools gets the request without them. Both are remembered, and `capabilities.tools` is
        False from then on. Raises EngineError; chunks that came before it stay valid.
        """
        self.connect()
        ended = False
        with self._server.explained(), closing(self._chunks(request)) as chunks:
            for chunk in chunks:
                ended = chunk.finish is not None
                yield chunk
        if not ended:
            raise EngineError(
                f"the server at {self.url} went away in mid-answer: "
                "see its log, start it and ask again"
            )

    def count(self, text: str) -> int:
        """Tokens of `text` without special tokens: exact on vLLM and llama.cpp.

        Elsewhere an estimate on the safe side, see `estimated_tokens`. Raises EngineError.
        """
        self.connect()
        return self._count(text)

    def count_prompt(self, messages: Sequence[Message]) -> int:
        """Tokens of the prompt as the server will build it: exact on vLLM."""
        self.connect()
        if not self._is_vllm:
            return super().count_prompt(messages)
        body = {"messages": chat_messages(messages), "add_generation_prompt": True}
        answer = self._server.probe("/tokenize", {"model": self.model, **body})
        count = answer.get("count")
        # Refused: the model has no chat template and will be given the plain prompt.
        return count if isinstance(count, int) else self.count(plain_prompt(messages)) + 1

    def logprobs(self, tokens: Sequence[int]) -> list[float]:
        """Natural-log probability of each token given those before it; the first is 0.0.

        At most `context` - 1 tokens. Raises EngineError; NotImplementedError off vLLM.
        """
        self.connect()
        if not self._is_vllm:
            return super().logprobs(tokens)
        if len(tokens) < 2:
            return [0.0] * len(tokens)
        body = {"model": self.model, "prompt": list(tokens), "max_tokens": 1, "prompt_logprobs": 0}
        answer = self._server.request("/v1/completions", body)
        try:
            scored = answer["choices"][0]["prompt_logprobs"]
            given = zip(tokens[1:], scored[1:], strict=True)
            return [0.0, *(float(at[str(token)]["logprob"]) for token, at in given)]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise EngineError(
                f"the server at {self.url} answered without prompt log-probabilities"
            ) from error

    def close(self) -> None:
        """Close the connections to the server; the server runs on."""
        self._server.close()

    def _served(self) -> dict[str, dict[str, Any]]:
        listed = self._server.request("/v1/models").get("data")
        models = listed if isinstance(listed, list) else []
        served = {
            model["id"]: model
            for model in models
            if isinstance(model, dict) and isinstance(model.get("id"), str)
        }
        if not served:
            raise EngineError(
                f"the server at {self.url} lists no model at /v1/models: "
                "load one there, or choose another server with --url or MEMAGENT_URL"
            )
        return served

    def _shared_context(self, served: dict[str, Any]) -> int:
        length = served.get("max_model_len")
        if not isinstance(length, int) and self._wanted_context is None:
            # llama.cpp says it here; other servers have no such page.
            settings = self._server.probe("/props").get("default_generation_settings")
            length = settings.get("n_ctx") if isinstance(settings, dict) else None
        if not isinstance(length, int):
            return self._wanted_context or _DEFAULT_CONTEXT
        return min(length, self._wanted_context or length)

    def _tokenized(self, text: str) -> int:
        if not self._counts_exactly:
            return estimated_tokens(text)
        body: dict[str, Any] = {"content": text}
        if self._is_vllm:
            body = {"model": self.model, "prompt": text, "add_special_tokens": False}
        tokens = self._server.probe("/tokenize", body).get("tokens")
        if isinstance(tokens, list):
            return len(tokens)
        self._counts_exactly = False
        return estimated_tokens(text)

    def _chunks(self, request: Request) -> Generator[Chunk]:
        import openai

        while True:
            try:
                if self._has_template:
                    with self._server.ask(lambda: self._chat(request)) as chat:
                        yield from chat_chunks(chat)
                else:
                    with self._server.ask(lambda: self._completion(request)) as completion:
                        yield from completion_chunks(completion)
                return
            except openai.APIStatusError as error:
                if not self._gives_way(request, error):
                    raise

    def _gives_way(self, request: Request, error: openai.APIStatusError) -> bool:
        """Whether to ask again, differently: each way is taken at most once."""
        if self._has_template and is_no_chat_template(error):
            self._has_template = False
        elif not (request.tools and self.capabilities.tools and is_no_tools(error)):
            return False
        self.capabilities = replace(self.capabilities, tools=False)
        return True

    def _chat(self, request: Request) -> openai.Stream[ChatCompletionChunk]:
        options = self._options(request)
        if request.tools and self.capabilities.tools:
            options["tools"] = list(request.tools)
        messages: Any = chat_messages(request.messages)
        stream: openai.Stream[ChatCompletionChunk] = self._server.client.chat.completions.create(
            messages=messages, stream=True, **options
        )
        return stream

    def _completion(self, request: Request) -> openai.Stream[Completion]:
        prompt, options = plain_prompt(request.messages), self._options(request)
        stream: openai.Stream[Completion] = self._server.client.completions.create(
            prompt=prompt, stop=[PLAIN_STOP], stream=True, **options
        )
        return stream

    def _options(self, request: Request) -> dict[str, Any]:
        options: dict[str, Any] = {
            "model": self.model,
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "stream_options": {"include_usage": True},
        }
        if request.seed is not None:
            options["seed"] = request.seed
        return options


def estimated_tokens(text: str) -> int:
    """A count on the safe side where no tokenizer is at hand.

    The larger of 1.5 a word and one every 3 bytes of UTF-8; bytes, so that scripts of one
    token a character (Chinese, Japanese) are not undercounted.
    """
    return math.ceil(max(len(text.split()) * 1.5, len(text.encode()) / 3))
