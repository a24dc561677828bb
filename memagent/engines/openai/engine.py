"""The engine for vLLM and other OpenAI-compatible servers.

What it sends is in `request`, how it reads answers in `events` and `reply`, and how it
finds thinking, stop tokens and tool calls in their text in the filters.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from memagent.engines.base import Capabilities, Engine
from memagent.engines.openai.answer_filters import filtered
from memagent.engines.openai.errors import ReplyError
from memagent.engines.openai.events import answer_objects
from memagent.engines.openai.messages import plain_prompt
from memagent.engines.openai.metrics import read_metrics
from memagent.engines.openai.models import chat_models, context_length, find_model, listed_models
from memagent.engines.openai.opening import Opening, opens_thinking, thinks_by_name
from memagent.engines.openai.reply import reply_chunks
from memagent.engines.openai.request import Form, thinking_options
from memagent.engines.openai.server import OpenAIServer
from memagent.engines.openai.size import model_size
from memagent.engines.openai.speed import ReadingSpeed
from memagent.engines.openai.tokens import ServedTokens
from memagent.errors import EngineError
from memagent.types import Chunk, Message, Request, Thinking

if TYPE_CHECKING:
    import httpx2

__all__ = ["VllmEngine"]

# For servers that do not report their context; the default of Ollama.
_DEFAULT_CONTEXT = 4096
_CHAT, _PLAIN = "/v1/chat/completions", "/v1/completions"


class VllmEngine(Engine):
    """A model on an OpenAI-compatible server.

    url: with or without a trailing /v1. model: a name that the server knows, by default the first
    it lists that is no embedding model. context: maximum of prompt plus answer in tokens, by
    default what the server reports. timeout: seconds without a byte from the server. speeds: the
    file that keeps how fast servers read.

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
        speeds: Path | None = None,
    ) -> None:
        self._server = OpenAIServer(url, api_key=api_key, timeout=timeout)
        self.url = self._server.root
        self.model = model or ""
        self.context = context or _DEFAULT_CONTEXT
        self.capabilities = Capabilities(tools=True, structured=True)
        self._requested_context = context
        self._connected = False
        self._is_vllm = False
        self._root = ""
        self._form = Form()
        self._form_lock = threading.Lock()
        self._openings: dict[Thinking, Opening] = {}
        self._llama_props: dict[str, Any] | None = None
        self._tokens = ServedTokens(self._server, self.model, is_vllm=False)
        self._speeds = speeds
        self.speed = ReadingSpeed(None, self.url, self.model)

    def connect(self) -> VllmEngine:
        """Ask the server for its models, context and capabilities; return self.

        A server that has no list of models is trusted to serve the named one. Raises EngineError
        if the server does not answer or does not serve the requested model.
        """
        if self._connected:
            return self
        served = self._served()
        self.model = self._chosen(served)
        entry = served.get(self.model, {})
        self._is_vllm = isinstance(self._server.probe("/version").get("version"), str)
        self.context = self._shared_context(entry)
        self.size = model_size(entry)
        self._root = str(entry.get("root") or "")
        self._tokens = ServedTokens(self._server, self.model, is_vllm=self._is_vllm)
        self.speed = ReadingSpeed(self._speeds, self.url, self.model)
        self.capabilities = replace(self.capabilities, prompt_logprobs=self._is_vllm)
        self._use(Form(logprobs=True, schema="bounded" if self._is_vllm else "plain"))
        self._connected = True
        return self

    @property
    def tokens(self) -> ServedTokens:
        """The tokens of the model."""
        return self.connect()._tokens

    @property
    def reading_speed(self) -> float | None:
        """Tokens of prompt per second, once connected and measured."""
        return self.speed.tokens_per_second

    @property
    def root(self) -> str:
        """The path or repository of the model, as reported by the server."""
        return self.connect()._root

    def stream(self, request: Request) -> Iterator[Chunk]:
        """Yield the answer as the server writes it; closing the iterator stops the server.

        A model without a chat template gets the prompt as plain text, one without system messages
        or tools gets their text from the user, and a server that refuses an optional part of the
        request gets it without. All this is remembered, and `capabilities` is updated. A request
        with a schema is sent without tools. The uncertainty counts all but the 20 likeliest tokens
        as one.

        Thinking, stop tokens and tool calls in the text are separated from it. An answer that ends
        without a word is one empty chunk. Raises EngineError, and ServerDownError if the server is
        gone; chunks received before that stay valid.
        """
        self.connect()
        with self._server.explained(), closing(self._chunks(request)) as chunks:
            yield from self.speed.timed(chunks, request.messages)

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
        count = self.tokens.count_chat(self._form.messages(tuple(messages)))
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

    def metrics(self) -> dict[str, float]:
        """The counters of the server; {} if it has none."""
        return read_metrics(self.url, self._server.api_key)

    def close(self) -> None:
        """Close the connections to the server; the server keeps running."""
        self._server.close()

    def _served(self) -> dict[str, dict[str, Any]]:
        """The models that the server lists, by name; {} if it has no list of them."""
        with self._server.explained():
            try:
                served = listed_models(self._server.request("/v1/models"))
            except ReplyError as error:
                if error.status not in (400, 404, 405, 410, 422, 500, 501):
                    raise
                if not self.model:
                    raise EngineError(
                        f"the server at {self.url} has no list of models at /v1/models "
                        f"({error.status}: {error.words}): name its model with --model"
                    ) from error
                return {}
        if not served and not self.model:
            raise EngineError(
                f"the server at {self.url} lists no model at /v1/models: load one there, name one "
                "with --model, or choose another server with --url or MEMAGENT_URL"
            )
        return served

    def _chosen(self, served: dict[str, dict[str, Any]]) -> str:
        """The name to send: the requested model's, else that of the first model that can chat."""
        names = ", ".join(served)
        if not self.model:
            able = chat_models(served)
            if not able:
                raise EngineError(
                    f"the server at {self.url} lists only models that do not chat ({names}): load "
                    "one that does, or choose one with --model"
                )
            return able[0]
        name = find_model(self.model, served)
        if name is None and served:
            # Some servers know names that they do not list.
            if self._server.probe(f"/v1/models/{quote(self.model)}").get("id"):
                return self.model
            raise EngineError(
                f"the server at {self.url} does not serve {self.model!r}: "
                f"choose one of {names} with --model"
            )
        return name or self.model

    def _shared_context(self, entry: dict[str, Any]) -> int:
        length = context_length(entry)
        if length is None and self._requested_context is None:
            settings = self._props().get("default_generation_settings")
            n_ctx = settings.get("n_ctx") if isinstance(settings, dict) else None
            length = n_ctx if type(n_ctx) is int and n_ctx > 0 else None
        if length is None:
            return self._requested_context or _DEFAULT_CONTEXT
        return min(length, self._requested_context or length)

    def _props(self) -> dict[str, Any]:
        """The page /props, which llama.cpp has."""
        if self._llama_props is None:
            self._llama_props = {} if self._is_vllm else self._server.probe("/props")
        return self._llama_props

    def _chunks(self, request: Request) -> Generator[Chunk]:
        while True:
            form, begun = self._form, False
            try:
                with closing(self._answer(request, form)) as chunks:
                    for chunk in chunks:
                        begun = True
                        yield chunk
                return
            except ReplyError as error:
                if begun or not self._simplify(form, request, error):
                    raise

    def _answer(self, request: Request, form: Form) -> Generator[Chunk]:
        body = {"model": self.model, **form.body(request)}
        opening = self._opening(request.thinking)

        def is_final(error: ReplyError) -> bool:
            return form.without(request, error) is not None

        with self._open(_CHAT if form.chat else _PLAIN, body, is_final) as response:
            chunks = reply_chunks(answer_objects(response.iter_bytes()))
            yield from filtered(chunks, body, opening, is_json=request.schema is not None)

    def _open(
        self, path: str, body: dict[str, Any], is_final: Callable[[ReplyError], bool]
    ) -> AbstractContextManager[httpx2.Response]:
        return self._server.open(path, body, is_final)

    def _opening(self, thinking: Thinking) -> Opening:
        """What is known of the model's thinking; the prompt may depend on how much is asked for."""
        if thinking not in self._openings:
            self._openings[thinking] = Opening(self._opens_in_prompt(thinking))
        return self._openings[thinking]

    def _opens_in_prompt(self, thinking: Thinking) -> bool | None:
        if not self._form.chat:
            return False
        prompt = self._props().get("chat_template")
        if self._is_vllm:
            options = thinking_options(thinking).get("chat_template_kwargs")
            prompt = self._tokens.chat_prompt([{"role": "user", "content": "Hello"}], options)
        if isinstance(prompt, str) and prompt:
            return opens_thinking(prompt)
        return thinks_by_name(self.model) or None

    def _simplify(self, form: Form, request: Request, error: ReplyError) -> bool:
        """Whether there is another form to try after a refusal of this one."""
        with self._form_lock:
            # Another thread may have learned it in the meantime.
            if self._form is form:
                simpler = form.without(request, error)
                if simpler is None:
                    return False
                self._use(simpler)
        return True

    def _use(self, form: Form) -> None:
        """Send requests in this form from now on."""
        self._form = form
        self.capabilities = replace(
            self.capabilities,
            tools=form.tools,
            structured=form.schema is not None,
            # Other servers may take the request for log-probabilities and ignore it.
            uncertainty=form.logprobs and self._is_vllm,
        )
