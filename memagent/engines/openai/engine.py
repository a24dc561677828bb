"""The engine for vLLM and other OpenAI-compatible servers.

The protocol, the connection and its failures are in `wire`, `server` and `errors`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from memagent.engines.base import Capabilities, Engine
from memagent.engines.openai.request import Form
from memagent.engines.openai.server import OpenAIServer
from memagent.engines.openai.size import model_size
from memagent.engines.openai.tokens import ServedTokens
from memagent.engines.openai.wire import (
    chat_chunks,
    chat_messages,
    completion_chunks,
    plain_prompt,
)
from memagent.errors import EngineError, ServerDownError
from memagent.types import Chunk, Message, Request

if TYPE_CHECKING:
    import openai
    from openai.types import Completion
    from openai.types.chat import ChatCompletionChunk

__all__ = ["VllmEngine"]

# For servers that do not report their context; the default of Ollama.
_DEFAULT_CONTEXT = 4096


class VllmEngine(Engine):
    """A model on an OpenAI-compatible server.

    url: with or without a trailing /v1. model: a name the server lists, by default the first.
    context: maximum of prompt plus answer in tokens, by default what the server reports.
    timeout: seconds without a byte from the server.

    Nothing is sent before `connect`, which the other methods call if needed. After it, `model`,
    `context` and `capabilities` are those of the server.
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
        self.capabilities = Capabilities(tools=True, structured=True)
        self._wanted_context = context
        self._connected = False
        self._is_vllm = False
        self._form = Form()
        self._tokens = ServedTokens(self._server, self.model, is_vllm=False)

    def connect(self) -> VllmEngine:
        """Ask the server for its models, context and capabilities; return self.

        Raises EngineError if it does not answer or does not serve the requested model.
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
        self.size = model_size(served[self.model])
        self._root = str(served[self.model].get("root") or "")
        self._tokens = ServedTokens(self._server, self.model, is_vllm=self._is_vllm)
        self.capabilities = replace(self.capabilities, prompt_logprobs=self._is_vllm)
        self._take(Form(logprobs=True, schema="bounded") if self._is_vllm else Form())
        self._connected = True
        return self

    @property
    def tokens(self) -> ServedTokens:
        """The tokens of the model."""
        return self.connect()._tokens

    @property
    def root(self) -> str:
        """The path or repository of the model, as reported by the server."""
        return self.connect()._root

    def stream(self, request: Request) -> Iterator[Chunk]:
        """Yield the answer as the server writes it; closing the iterator stops the server.

        A model without a chat template gets the prompt as plain text; a server that refuses
        tools, a schema or log-probabilities gets the request without them. Both are remembered,
        and `capabilities` is updated. A request with a schema is sent without tools. The
        uncertainty counts all but the 20 likeliest tokens as one. Raises EngineError, and
        ServerDownError if the server is gone; chunks received before that stay valid.
        """
        self.connect()
        ended = False
        with self._server.explained(), closing(self._chunks(request)) as chunks:
            for chunk in chunks:
                ended = chunk.finish is not None
                yield chunk
        if not ended:
            raise ServerDownError(
                f"the server at {self.url} went away in mid-answer: "
                "see its log, start it and ask again"
            )

    def count(self, text: str) -> int:
        """Tokens of `text` without special tokens: exact on vLLM and llama.cpp.

        For other servers a cautious estimate, see `tokens`. Raises EngineError.
        """
        return self.tokens.count(text)

    def count_prompt(self, messages: Sequence[Message]) -> int:
        """Tokens of the whole prompt: exact on vLLM."""
        self.connect()
        if not self._is_vllm:
            return super().count_prompt(messages)
        count = self.tokens.count_chat(chat_messages(messages))
        # None: the model has no chat template, so it gets the plain prompt.
        return self.count(plain_prompt(messages)) + 1 if count is None else count

    def logprobs(self, tokens: Sequence[int]) -> list[float]:
        """Natural-log probability of each token given those before it; the first is 0.0.

        At most `context` - 1 tokens. Raises EngineError, and NotImplementedError if it is not vLLM.
        """
        self.connect()
        if not self._is_vllm:
            return super().logprobs(tokens)
        return self.tokens.logprobs([tokens])[0]

    def close(self) -> None:
        """Close the connections to the server; the server keeps running."""
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
            # llama.cpp reports it here; other servers have no such page.
            settings = self._server.probe("/props").get("default_generation_settings")
            length = settings.get("n_ctx") if isinstance(settings, dict) else None
        if not isinstance(length, int):
            return self._wanted_context or _DEFAULT_CONTEXT
        return min(length, self._wanted_context or length)

    def _chunks(self, request: Request) -> Generator[Chunk]:
        import openai

        while True:
            form = self._form
            try:
                if form.chat:
                    chat = partial(self._chat, form.chat_body(request))
                    with self._server.ask(chat) as parts:
                        yield from form.mended(request, chat_chunks(parts))
                else:
                    plain = partial(self._completion, form.plain_body(request))
                    with self._server.ask(plain) as pieces:
                        yield from form.mended(request, completion_chunks(pieces))
                return
            except openai.APIStatusError as error:
                less = form.without(request, error)
                if less is None:
                    raise
                self._take(less)

    def _take(self, form: Form) -> None:
        """Use this form from now on."""
        self._form = form
        self.capabilities = replace(
            self.capabilities,
            tools=form.tools,
            structured=form.schema is not None,
            uncertainty=form.logprobs,
        )

    def _chat(self, body: dict[str, Any]) -> openai.Stream[ChatCompletionChunk]:
        create: Any = self._server.client.chat.completions.create
        stream: openai.Stream[ChatCompletionChunk] = create(model=self.model, stream=True, **body)
        return stream

    def _completion(self, body: dict[str, Any]) -> openai.Stream[Completion]:
        create: Any = self._server.client.completions.create
        stream: openai.Stream[Completion] = create(model=self.model, stream=True, **body)
        return stream
