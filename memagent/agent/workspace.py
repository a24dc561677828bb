"""Builds what the settings name: store, embedder, segmenter, engine, namespaces, agents.

Everything is made on first use, so that a command pays only for what it needs.
"""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self

from memagent.settings import Settings

if TYPE_CHECKING:
    from memagent.agent.graph import Agent
    from memagent.engines.base import Engine
    from memagent.memory.index.encoder import Encoder
    from memagent.memory.namespace import Namespace
    from memagent.memory.segmentation.scorer import Scorer
    from memagent.memory.segmentation.sentences import Segmenter
    from memagent.memory.store.database import Store

__all__ = ["Workspace"]

logger = logging.getLogger(__name__)


class Workspace:
    """One open store with its embedder, engine and namespaces. Safe to use from several threads.

    `engine` and `embedder` replace those of the settings; the caller closes an engine that it gave.
    `engine_choice` says which engine `auto` chose and why, once it has.
    """

    def __init__(
        self, settings: Settings, *, engine: Engine | None = None, embedder: Encoder | None = None
    ) -> None:
        self.settings = settings
        self.engine_choice: str | None = None
        self._store: Store | None = None
        self._embedder = embedder
        self._segmenter: Segmenter | None = None
        self._scorer: Scorer | None = None
        self._engine = engine
        self._owns_engine = engine is None
        self._memories: dict[str, Namespace] = {}
        self._lock = threading.RLock()

    @property
    def store(self) -> Store:
        """The store; created if it does not exist."""
        with self._lock:
            if self._store is None:
                from memagent.memory.store.database import Store

                self._store = Store(self.settings.store)
            return self._store

    @property
    def embedder(self) -> Encoder:
        """The embedder; its weights are loaded at the first text."""
        with self._lock:
            if self._embedder is None:
                from memagent.memory.index.embedder import Embedder
                from memagent.memory.index.fake_embedder import FakeEmbedder

                name = self.settings.embedder
                self._embedder = FakeEmbedder() if name == FakeEmbedder.name else Embedder(name)
            return self._embedder

    @property
    def segmenter(self) -> Segmenter:
        """The segmenter; its model is loaded at the first longer text."""
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
        """The model that scores surprise; loaded, or its server asked, at the first text."""
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
        """A namespace by its name; by default the one of the settings."""
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
        """The engine; `auto` logs which one it chose and why."""
        with self._lock:
            if self._engine is None:
                from memagent.engines.base import EngineContext
                from memagent.engines.registry import choose

                self._engine, reason = choose(EngineContext(self.settings, self.embedder))
                if self.settings.engine == "auto":
                    self.engine_choice = reason
                    logger.info(reason)
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
            if self._engine is not None and self._owns_engine:
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
