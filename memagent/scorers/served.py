"""The surprise of text under the model of a server that gives prompt log-probabilities, as vLLM.

Knows nothing of events, stores or engines. The server is first asked when a text is scored.
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

# How vocabularies name their opening token. Asked for where the tokenizer adds none by itself,
# which does not mean that the model was trained without.
_OPENINGS = (
    "<|bos|>",
    "<s>",
    "<bos>",
    "<|begin_of_text|>",
    "<|startoftext|>",
    "<\uff5cbegin\u2581of\u2581sentence\uff5c>",
)
# Cut differently by any two vocabularies.
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
    """What is needed of the engine of a server; `root` is where the server has the model from."""

    name: str
    model: str
    context: int
    capabilities: Any

    @property
    def root(self) -> str:
        """Where the server has the model from, as it says."""

    @property
    def tokens(self) -> TokenAccess:
        """The tokens of the model."""


class ServedSurprise:
    """Log-probabilities of a text read in overlapping windows by the model of a server.

    Every window begins with the model's opening token, if it has one; else the first token of a
    text has no surprise. engine: gives the engine of the server when it is first needed.
    window: tokens at most; fewer where the server has less room. Safe to use from several
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
        """The model's name, and a digest of all that a server tells of it: where it has the model
        from and how it cuts text. Other weights under the same name are not noticed."""
        self._connected()
        return self._id

    @property
    def window(self) -> int:
        """Tokens of a window, the opening one among them; one is left for an answer."""
        return min(self._most, self._connected().context - 1)

    def score(self, texts: Sequence[str]) -> list[Surprise]:
        """One text after the other, so that no text's figures depend on its company."""
        return [self._score(text) for text in texts]

    def _score(self, text: str) -> Surprise:
        import numpy as np

        ids, written = self._connected().tokens.read(text) if text else ([], [])
        tokens = np.array(ids, dtype=np.int64)
        nats = in_windows(tokens, self.window, len(self._opening), self._costs)
        return Surprise(ranges(text, written), nats)

    def _costs(self, group: Sequence[tuple[np.ndarray, int]]) -> list[np.ndarray]:
        """-log p of the tokens of each window from the given place on, in one request."""
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
        told = repr((engine.model, engine.root, self._opening, cut, window))
        return f"served-{engine.model}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"


def _opening(engine: ServedModel) -> list[int]:
    """The model's opening token, [] where there is none to be found."""
    added, _ = engine.tokens.read("", special=True)
    if added:
        return added[:1]
    for name in _OPENINGS:
        ids, _ = engine.tokens.read(name)
        if len(ids) == 1:
            return ids
    return []
