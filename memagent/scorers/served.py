"""Score surprise with the model of a server that returns prompt log-probabilities, such as vLLM.

The server is first contacted when a text is scored.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from memagent.errors import UsageError
from memagent.memory.segmentation.scorer import Surprise
from memagent.scorers.offsets import ranges
from memagent.scorers.windows import WINDOW, in_windows

if TYPE_CHECKING:
    import numpy as np

__all__ = ["NamedModel", "ServedModel", "ServedSurprise", "TokenAccess"]

# Common names of the opening token. Tried if the tokenizer does not add one itself: the model may
# still have been trained with it.
_OPENINGS = (
    "<|bos|>",
    "<s>",
    "<bos>",
    "<|begin_of_text|>",
    "<|startoftext|>",
    "<\uff5cbegin\u2581of\u2581sentence\uff5c>",
)
# Any two vocabularies tokenize this text differently.
_PROBE = "In 1984, Zürich's 3 harbours re-opened:\n\tfor i in range(10): 記憶は消えない 🛶\u00a0…"


class TokenAccess(Protocol):
    """The tokens of a served model."""

    def read(self, text: str, *, special: bool = False) -> tuple[list[int], list[str]]:
        """The ids of the tokens of a text, and each as its vocabulary writes it."""

    def logprobs(self, prompts: Sequence[Sequence[int]]) -> list[list[float]]:
        """Natural-log probability of each token given those before it, a list for each prompt."""


class NamedModel(Protocol):
    """Any engine, for messages to the user."""

    name: str
    model: str


@runtime_checkable
class ServedModel(Protocol):
    """The parts of a server's engine that scoring needs."""

    name: str
    model: str
    context: int
    capabilities: Any

    @property
    def root(self) -> str:
        """The path or repository of the model, as reported by the server."""

    @property
    def tokens(self) -> TokenAccess:
        """The tokens of the model."""


class ServedSurprise:
    """Log-probabilities of a text read in overlapping windows by the model of a server.

    Every window begins with the model's opening token, if it has one; otherwise the first token of
    a text has no surprise. engine: returns the engine of the server, called on first use. window:
    maximum number of tokens; fewer if the server's context is smaller. Safe to use from several
    threads. Raises EngineError, and UsageError for an engine without prompt log-probabilities.
    """

    def __init__(self, engine: Callable[[], NamedModel], window: int = WINDOW) -> None:
        self._given = engine
        self._most = window
        self._lock = threading.RLock()
        self._engine: ServedModel | None = None
        self._opening: list[int] = []
        self._id = ""

    @property
    def id(self) -> str:
        """The model's name, and a digest of what the server reports about it: its path and how it
        tokenizes a sample. Different weights under the same name are not detected."""
        self._connected()
        return self._id

    @property
    def window(self) -> int:
        """Tokens per window, including the opening token; one token is left for the answer."""
        return min(self._most, self._connected().context - 1)

    def score(self, texts: Sequence[str]) -> list[Surprise]:
        """Score texts one by one, so that no score depends on the other texts in the batch."""
        return [self._score(text) for text in texts]

    def _score(self, text: str) -> Surprise:
        import numpy as np

        ids, written = self._connected().tokens.read(text) if text else ([], [])
        tokens = np.array(ids, dtype=np.int64)
        nats = in_windows(tokens, self.window, len(self._opening), self._costs)
        return Surprise(ranges(text, written), nats)

    def _costs(self, group: Sequence[tuple[np.ndarray, int]]) -> list[np.ndarray]:
        """-log p of the tokens of each window from the given position on, in one request."""
        import numpy as np

        prompts = [[*self._opening, *ids.tolist()] for ids, _ in group]
        found = self._connected().tokens.logprobs(prompts)
        first = len(self._opening)
        return [
            -np.array(logprobs[first + new :], dtype=np.float32)
            for (_, new), logprobs in zip(group, found, strict=True)
        ]

    def _connected(self) -> ServedModel:
        with self._lock:
            if self._engine is None:
                engine = self._given()
                if not isinstance(engine, ServedModel) or not engine.capabilities.prompt_logprobs:
                    raise UsageError(
                        f"the scorer 'served' needs a server that gives prompt log-probabilities, "
                        f"as vLLM does, and {engine.name} ({engine.model}) gives none: name one "
                        "with --url or MEMAGENT_URL, or set the scorer to pocket"
                    )
                self._opening = _opening(engine)
                self._id = self._named(engine)
                self._engine = engine
            return self._engine

    def _named(self, engine: ServedModel) -> str:
        cut, _ = engine.tokens.read(_PROBE)
        window = min(self._most, engine.context - 1)
        reported = repr((engine.model, engine.root, self._opening, cut, window))
        return f"served-{engine.model}-{hashlib.sha256(reported.encode()).hexdigest()[:12]}"


def _opening(engine: ServedModel) -> list[int]:
    """The model's opening token, or [] if none is found."""
    added, _ = engine.tokens.read("", special=True)
    if added:
        return added[:1]
    for name in _OPENINGS:
        ids, _ = engine.tokens.read(name)
        if len(ids) == 1:
            return ids
    return []
