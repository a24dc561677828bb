"""The interface of all engines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from memagent.types import Chunk, Message, Request, Usage

if TYPE_CHECKING:
    from memagent.memory.index.encoder import Encoder
    from memagent.settings import Settings

__all__ = ["Capabilities", "Engine", "EngineContext", "Finish"]

Finish = Literal["stop", "length", "tool_calls", "refused"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do beyond answering.

    generates: writes new text (an extractive engine only quotes);
    prompt_logprobs: `logprobs` works; attention: reports attention mass per event;
    structured: can follow a JSON schema; tools: can call tools; uncertainty: reports the entropy
    of an answer's first token, in nats.
    """

    generates: bool = True
    prompt_logprobs: bool = False
    attention: bool = False
    structured: bool = False
    tools: bool = False
    uncertainty: bool = False


@dataclass(frozen=True, slots=True)
class EngineContext:
    """What the functions that make engines may use."""

    settings: Settings
    embedder: Encoder


class Engine(ABC):
    """A language model or reader.

    `context` is the maximum of prompt plus answer in tokens, and `size` the number of the model's
    parameters in billions, if it is known.
    """

    name: str
    model: str
    context: int
    size: float | None = None
    capabilities: Capabilities

    @property
    def reading_speed(self) -> float | None:
        """Tokens of prompt that the engine reads per second, if it has been measured."""
        return None

    @abstractmethod
    def stream(self, request: Request) -> Iterator[Chunk]:
        """Yield the answer as it is generated; closing the iterator stops it.

        Raises EngineError if the server is down, too slow or refuses the request.
        """

    def complete(
        self, request: Request, on_text: Callable[[str], None] = lambda text: None
    ) -> Chunk:
        """The whole answer as one chunk with its thinking, finish reason, usage and uncertainty.

        `on_text` gets the text as it arrives, and "" for a chunk without text. Raises as `stream`
        does.
        """
        text: list[str] = []
        thinking: list[str] = []
        finish: Finish | None = None
        used, uncertainty = Usage(), None
        with closing(self.stream(request)) as chunks:  # type: ignore[type-var]
            for chunk in chunks:
                text.append(chunk.text)
                thinking.append(chunk.thinking)
                on_text(chunk.text)
                finish = chunk.finish or finish
                used = chunk.usage or used
                uncertainty = chunk.uncertainty if uncertainty is None else uncertainty
        return Chunk(
            "".join(text),
            finish=finish,
            usage=used,
            uncertainty=uncertainty,
            thinking="".join(thinking),
        )

    @abstractmethod
    def count(self, text: str) -> int:
        """Number of tokens of `text` under this engine's tokenizer."""

    def count_prompt(self, messages: Sequence[Message]) -> int:
        """Tokens of a prompt: an estimate, unless the engine overrides this."""
        return sum(self.count(message.content) + 4 for message in messages)

    def logprobs(self, tokens: Sequence[int]) -> list[float]:
        """Natural-log probability of each token given those before it; the first is 0.0."""
        raise NotImplementedError(f"engine {self.name} does not return prompt log-probabilities")

    def close(self) -> None:
        """Release what the engine holds; safe to call twice."""
        return
