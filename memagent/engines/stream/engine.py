"""Run a Transformers model with RoPE in this process, with attention to a namespace's memory.

Stored events are not written into the prompt. The model has read them, and their keys and values
are cached in pages; each answer attends to the pages that recall or the model's own keys find. The
attention is reported per event.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from memagent.engines.base import Capabilities, Engine, EngineContext
from memagent.engines.stream.memory import StreamMemory
from memagent.engines.stream.progress import Progress
from memagent.engines.stream.sizes import config_for, host_pages
from memagent.errors import UsageError
from memagent.models.library import Library
from memagent.prompts.load import render
from memagent.settings import DEFAULT_BUDGET
from memagent.types import Chunk, Event, Message, Request, Scope, Usage

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from memagent.streaming.stream import Stream

__all__ = ["StreamEngine", "make"]

TokenRange = tuple[int, int]
# Share of the recalled tokens that is reserved for events found by the store's recall.
_PINNED = 0.6
# The newest events of the conversation that a turn attends to before all others.
_NEWEST = 8
_USER, _ASSISTANT = "\nuser:", "\nassistant:"


class StreamEngine(Engine):
    """One model, with a stream for the memory of each namespace. One answer at a time."""

    name = "stream"
    capabilities = Capabilities(generates=True, prompt_logprobs=True, attention=True)

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        name: str,
        *,
        budget: int = 2000,
        context: int | None = None,
    ) -> None:
        """`budget` tokens of memory in reach of a query at most, and half of the window."""
        from memagent.streaming.binding import fingerprint, layers_of

        layers_of(model)  # raises for unsupported models
        self.llm = model
        self.tokenizer = tokenizer
        self.model = name
        trained = model.config.get_text_config().max_position_embeddings
        self.context = context or trained
        self.config = config_for(model, self.context, budget)
        self._weights = fingerprint(model)
        self._memories: dict[Path, StreamMemory] = {}
        self._progress = Progress(name)
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls, model: str, *, name: str | None = None, budget: int, context: int | None = None
    ) -> StreamEngine:
        """Load the engine from a model folder or a name that Transformers knows, called `name`.

        Raises EngineError if it cannot be loaded.
        """
        from memagent.streaming.loading import load_model

        llm, tokenizer = load_model(model)
        return cls(llm, tokenizer, name or Path(model).name, budget=budget, context=context)

    def stream(self, request: Request) -> Iterator[Chunk]:
        """Read new events, then the turn, and answer; afterwards the turn is removed.

        Question and answer are read later, as events. Ctrl-C between two tokens is safe.
        """
        with self._lock:
            self._progress.begin()
            memory = self._memory_of(request.scope)
            stream = memory.stream if memory is not None else self._open(None)
            if memory is not None and request.scope is not None:
                memory.catch_up(_is_in_turn(request.scope), self._progress.passages)
            mark = stream.mark()
            try:
                yield from self._answer(stream, memory, request)
            finally:
                stream.unwatch()
                stream.rewind(mark)
                _set_view(stream, hidden=[], pinned=[], local_from=0)

    def count(self, text: str) -> int:
        """Tokens under the model's tokenizer."""
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def count_prompt(self, messages: Sequence[Message]) -> int:
        """Tokens of the whole prompt as the model reads it."""
        return self.count(self._prefix() + self._turn(messages))

    def logprobs(self, tokens: Sequence[int]) -> list[float]:
        """Log-probability of each token given those before it, within the model's window."""
        import torch

        if not tokens:
            return []
        from memagent.streaming.stream import Stream

        # Full attention as long as the window allows it.
        fits = len(tokens) <= self.context
        window = None if fits else self.config.window
        stream = Stream(self.llm, replace(self.config, selector="recent", window=window))
        surprise = stream.read(torch.tensor([list(tokens)]))[0]
        return [0.0, *(-surprise[1:]).tolist()]

    def close(self) -> None:
        """Save the streams and release the model."""
        with self._lock:
            for memory in self._memories.values():
                memory.close()
            self._memories.clear()

    def _answer(
        self, stream: Stream, memory: StreamMemory | None, request: Request
    ) -> Iterator[Chunk]:
        from memagent.streaming.generate import generate

        turn = self._encode(self._turn(request.messages))
        hidden, pinned = list[TokenRange](), list[TokenRange]()
        if memory is not None and request.scope is not None:
            hidden = memory.hidden(request.scope.allowed)
            pinned = memory.spans(self._preferred(request), int(self.config.budget * _PINNED))
        # The window begins with the turn: memory is reached as events, each with its own mass.
        _set_view(stream, hidden=hidden, pinned=pinned, local_from=stream.length)
        masses = stream.watch()
        stream.cut()
        stream.read(turn)
        self._progress.end()
        ids: list[int] = []
        said = text = ""
        ended = False
        for token in generate(
            stream,
            request.max_tokens,
            stop=self._stops(),
            temperature=request.temperature,
            seed=request.seed,
        ):
            ids.append(token)
            text = self._decode(ids)
            ended = _USER in text
            text = text.partition(_USER)[0]
            sure = (text if ended else _settled(text)).lstrip()
            if len(sure) > len(said):
                yield Chunk(sure[len(said) :])
                said = sure
            if ended:
                break
        if rest := text.rstrip("\ufffd").lstrip()[len(said) :]:
            yield Chunk(rest)
        full = len(ids) == request.max_tokens and not ended
        attention = memory.attention(masses.shares()) if memory is not None else ()
        yield Chunk(
            finish="length" if full else "stop",
            usage=Usage(turn.shape[1], len(ids)),
            attention=attention,
        )

    def _preferred(self, request: Request) -> list[Event]:
        """The newest events of the conversation, then the recalled ones, best first."""
        assert request.scope is not None
        scope = request.scope
        session = scope.memory.of_session(scope.session_id)
        newest = [event for event in session if event.start < scope.since][-_NEWEST:]
        return [*reversed(newest), *request.evidence]

    def _memory_of(self, scope: Scope | None) -> StreamMemory | None:
        if scope is None:
            return None
        key = scope.memory.caches
        if key not in self._memories:
            self._memories[key] = StreamMemory(
                scope.memory, self._open, self._encode, self._weights
            )
        return self._memories[key]

    def _open(self, folder: Path | None) -> Stream:
        """The stream of a folder, or a new one that has read the instructions."""
        from memagent.streaming.saving import resume
        from memagent.streaming.stream import Stream

        pages = host_pages(self.llm, self.config.page)
        if folder is not None:
            found = resume(self.llm, folder, self.config, host_pages=pages)
            if found is not None:
                found.on_step = self._progress.step
                return found
        stream = Stream(self.llm, self.config, folder=folder, host_pages=pages)
        stream.on_step = self._progress.step
        stream.read(self._encode(self._prefix()))
        return stream

    def _prefix(self) -> str:
        """The instructions, in the model's template; they precede all memory."""
        system = render("system.md")
        if self.tokenizer.chat_template is None:
            return f"{self.tokenizer.bos_token or ''}{system}\n"
        return self._templated([{"role": "system", "content": system}])

    def _turn(self, messages: Sequence[Message]) -> str:
        """The messages after the instructions, and the start of the answer."""
        said = [m for m in messages if m.role != "system"]
        if self.tokenizer.chat_template is None:
            names = {"assistant": _ASSISTANT}
            return "".join(f"{names.get(m.role, _USER)} {m.content}" for m in said) + _ASSISTANT
        whole = [{"role": "system", "content": render("system.md")}]
        whole += [{"role": m.role, "content": m.content} for m in said]
        text = self._templated(whole, answer=True)
        prefix = self._prefix()
        return text[len(prefix) :] if text.startswith(prefix) else text

    def _templated(self, messages: list[dict[str, str]], *, answer: bool = False) -> str:
        from jinja2 import TemplateError

        try:
            text = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=answer
            )
        except TemplateError:  # some templates know no system role
            merged = [{"role": "user", "content": m["content"]} for m in messages]
            text = self.tokenizer.apply_chat_template(
                merged, tokenize=False, add_generation_prompt=answer
            )
        return str(text)

    def _encode(self, text: str) -> Tensor:
        read = self.tokenizer(text, add_special_tokens=False, return_tensors="pt")
        found: Tensor = read["input_ids"]
        return found

    def _decode(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def _stops(self) -> frozenset[int]:
        stops = self.llm.generation_config.eos_token_id if self.llm.generation_config else None
        named = stops if isinstance(stops, list) else [stops, self.tokenizer.eos_token_id]
        return frozenset(token for token in named if token is not None)


def _set_view(
    stream: Stream, *, hidden: list[TokenRange], pinned: list[TokenRange], local_from: int
) -> None:
    """Set what the next steps of a stream with one row may and must attend to."""
    view = stream.view
    view.hidden, view.pinned, view.local_from = [hidden], [pinned], local_from
    view.renew()


def _is_in_turn(scope: Scope) -> Callable[[Event], bool]:
    """A function that tests whether an event is part of the current turn."""
    return lambda event: event.source_id == scope.session_id and event.start >= scope.since


def _settled(text: str) -> str:
    """The part of an answer that is final: without an incomplete character or role name."""
    text = text.rstrip("\ufffd")
    begun = (n for n in range(len(_USER) - 1, 0, -1) if text.endswith(_USER[:n]))
    return text[: len(text) - next(begun, 0)]


def make(context: EngineContext) -> tuple[Engine, str]:
    """The engine of the settings, and why it was chosen."""
    settings = context.settings
    if settings.model is None:
        raise UsageError(
            "the stream engine runs a model in this process: name one with --model, such as "
            "smollm2 after `memagent model get smollm2`"
        )
    model, name = Library(settings.models).resolve(settings.model)
    engine = StreamEngine.load(
        model, name=name, budget=settings.budget or DEFAULT_BUDGET, context=settings.context
    )
    return engine, "asked for"
