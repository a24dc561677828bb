"""Settings turned into the things they name: store, embedder, memories, engine, agent.

Everything is made on first use, so that a command pays only for what it needs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from memagent.settings import Settings

if TYPE_CHECKING:
    from memagent.agent.graph import Agent
    from memagent.engines.base import Engine
    from memagent.memory.index.embedder import Embedder
    from memagent.memory.namespace import Namespace
    from memagent.memory.segmentation.scorer import Scorer
    from memagent.memory.segmentation.sentences import Segmenter
    from memagent.memory.store.database import Store

__all__ = ["Workspace"]


class Workspace:
    """One open store with its embedder and engine; `tell` gets the lines meant for stderr."""

    def __init__(self, settings: Settings, tell: Callable[[str], None]) -> None:
        self.settings = settings
        self.tell = tell
        self._store: Store | None = None
        self._embedder: Embedder | None = None
        self._segmenter: Segmenter | None = None
        self._scorer: Scorer | None = None
        self._engine: Engine | None = None
        self._memories: dict[str, Namespace] = {}
        self._lock = threading.RLock()

    @property
    def store(self) -> Store:
        """The store; made if it does not exist."""
        with self._lock:
            if self._store is None:
                from memagent.memory.store.database import Store

                self._store = Store(self.settings.store)
            return self._store

    @property
    def embedder(self) -> Embedder:
        """The embedder of the settings; its weights are loaded at the first text."""
        with self._lock:
            if self._embedder is None:
                from memagent.memory.index.embedder import Embedder

                self._embedder = Embedder(self.settings.embedder)
            return self._embedder

    @property
    def segmenter(self) -> Segmenter:
        """The segmenter of the settings; its model is loaded at the first longer text."""
        with self._lock:
            if self._segmenter is None:
                from memagent.memory.segmentation.sentences import Sentences
                from memagent.memory.segmentation.surprising import SurprisingSentences

                if self.settings.segmenter == "surprise":
                    self._segmenter = SurprisingSentences(self.scorer)
                else:
                    self._segmenter = Sentences()
            return self._segmenter

    @property
    def scorer(self) -> Scorer:
        """What tells the surprise of text; its model is loaded, or its server asked, at the first
        text."""
        with self._lock:
            if self._scorer is None:
                from memagent.scorers.local import ModelSurprise
                from memagent.scorers.served import ServedSurprise

                if self.settings.scorer == "served":
                    self._scorer = ServedSurprise(lambda: self.engine)
                else:
                    self._scorer = ModelSurprise()
            return self._scorer

    def memory(self, namespace: str | None = None) -> Namespace:
        """The memory of a namespace, that of the settings by default."""
        name = namespace or self.settings.namespace
        with self._lock:
            if name not in self._memories:
                from memagent.memory.namespace import Namespace

                self._memories[name] = Namespace(
                    self.store, name, self.embedder, self.settings.index_dir, self.segmenter
                )
            return self._memories[name]

    @property
    def engine(self) -> Engine:
        """The engine of the settings; `auto` says on stderr which it chose and why."""
        with self._lock:
            if self._engine is None:
                from memagent.engines.registry import EngineContext, choose

                self._engine, reason = choose(EngineContext(self.settings, self.embedder))
                if self.settings.engine == "auto":
                    self.tell(reason)
            return self._engine

    def agent(self, namespace: str | None = None) -> Agent:
        """An agent over a namespace."""
        from memagent.agent.graph import Agent

        return Agent(self.memory(namespace), self.engine, self.settings)

    def close(self) -> None:
        """Save indexes, release the engine, close the store; safe to call twice."""
        with self._lock:
            for memory in self._memories.values():
                memory.close()
            self._memories.clear()
            if self._engine is not None:
                self._engine.close()
                self._engine = None
            if self._store is not None:
                self._store.close()
                self._store = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
