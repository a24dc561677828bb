"""Embeds, indexes and searches the events of one namespace.

Everything here is derived from the text in the store and can be rebuilt from it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from memagent.memory.events import Filter
from memagent.memory.index.encoder import Encoder
from memagent.memory.index.vector_index import VectorIndex
from memagent.memory.recall.dense import Dense
from memagent.memory.recall.lexical import Lexical
from memagent.memory.recall.search import Search
from memagent.memory.recall.selection import Recalled, choose
from memagent.memory.recall.supersession import supersede
from memagent.memory.recall.versions import Versions
from memagent.memory.segmentation.sentences import Segmenter
from memagent.memory.store.events import Events
from memagent.memory.store.sources import Sources
from memagent.memory.store.vectors import Vectors
from memagent.types import Event, Source

__all__ = ["Retriever"]

_EMBED_BATCH = 128  # events
# Each channel ranks this many events, or one per so many tokens of a larger budget.
_MIN_DEPTH = 400
_TOKENS_PER_RANK = 20
# This many hits get their tokens counted, or one per so many tokens of a larger budget.
_MIN_HITS = 200
_MIN_EVENT_TOKENS = 8  # an event with its label


class Retriever:
    """Keeps the events of a namespace searchable and recalls them.

    `events` are the events to search, `sources` the sources that they were cut from. Safe to use
    from several threads.
    """

    def __init__(
        self,
        sources: Sources,
        events: Events,
        embedder: Encoder,
        index_dir: Path,
        segmenter: Segmenter,
    ) -> None:
        store, namespace_id = sources.store, sources.namespace_id
        self.sources = sources
        self.events = events
        self.embedder = embedder
        self.segmenter = segmenter
        self.vectors = Vectors(store, namespace_id, embedder.id, embedder.dim)
        self.lexical = Lexical(store, namespace_id)
        self.index = VectorIndex(
            index_dir / f"{namespace_id}-{embedder.id}.faiss",
            embedder.dim,
            label=f"the index of the namespace {sources.namespace!r}",
        )
        self._lock = threading.RLock()
        self.dense = Dense(self.vectors, self.index, self._lock)
        self.search = Search(events, self.lexical, self.dense, embedder)
        self.versions = Versions(sources, embedder, index_dir, segmenter)

    def catch_up(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Segment and embed new text; `progress` gets (done, total) events."""
        with self._lock:
            while self.events.segment_pending(self.segmenter):
                if progress is not None:
                    _, through, _ = self.vectors.size()
                    progress(0, self.events.count_after(through))
            self._embed(progress)

    def recall(
        self,
        question: str,
        where: Filter,
        *,
        budget: int,
        contiguity: float,
        count: Callable[[str], int],
        skip: Callable[[Event], bool],
    ) -> Recalled:
        """Events for `question` under `budget` tokens; see `Namespace.recall`."""
        self.catch_up()
        search = self.search
        if where.as_of:
            search = self.versions.search(where.as_of, self.dense) or search
        depth = max(_MIN_DEPTH, budget // _TOKENS_PER_RANK)
        candidates = search.gather(search.query(question, where.as_of), depth, where)
        most = max(_MIN_HITS, budget // _MIN_EVENT_TOKENS)
        hits = search.rank(candidates, most, count, skip) if candidates else []
        rankings = candidates.rankings if candidates else {}
        recalled = choose(
            question,
            hits,
            lambda event: [e for e in search.events.neighbours(event, where) if not skip(e)],
            count,
            budget=budget,
            contiguity=contiguity,
            channels={name: len(ids) for name, ids in rankings.items()},
        )
        return supersede(recalled, self.events, self.lexical, where, count, skip)

    def sync_index(self) -> None:
        """Update the index with the stored vectors, rebuilding it if necessary."""
        self.dense.sync()

    def rebuild(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Rebuild events, text index, vectors and vector index from the text."""
        with self._lock:
            self.vectors.reset()
            self.events.reset()
            self.index.drop()
            self.catch_up(progress)
            self.sync_index()

    def resegment(self, segmenter: Segmenter, source: Source | None = None) -> dict[Source, int]:
        """Segment one source or all of them again; see `Namespace.resegment`."""
        with self._lock:
            sources = self.sources.all() if source is None else [source]
            missing = {each: self.events.recut(each.id, segmenter) for each in sources}
            self._embed()
            self.sync_index()
        return {each: spans for each, spans in missing.items() if spans}

    def drop_index(self) -> None:
        """Delete the index file; the next search rebuilds the index without a warning."""
        with self._lock:
            self.index.drop()
            self.vectors.mark_saved(False)

    def save_index(self) -> None:
        """Save the index file if the index has grown."""
        with self._lock:
            if self.index.save():
                self.vectors.mark_saved()

    def _embed(self, progress: Callable[[int, int], None] | None = None) -> None:
        total = done = None
        while True:
            _, through, _ = self.vectors.size()
            events = self.events.after(through, _EMBED_BATCH)
            if not events:
                break
            if progress is not None and total is None:
                total, done = self.events.count_after(through), 0
            self._store_vectors(events)
            if progress is not None and total is not None and done is not None:
                done += len(events)
                progress(done, max(total, done))

    def _store_vectors(self, events: Sequence[Event]) -> None:
        """Store the vectors of events and, for turns, the codes of their tokens.

        Recall reads token codes of turns only, so documents have none.
        """
        import numpy as np

        ids, texts = [event.id for event in events], [event.text for event in events]
        has_turns = any(event.kind == "session" for event in events)
        codes = self.search.codes if has_turns else None
        if codes is None:
            self.vectors.append(ids, self.embedder.encode(texts))
            return
        readings = self.embedder.read(texts)
        tokens = [
            codes.pack(reading.ids, reading.tokens) if event.kind == "session" else None
            for event, reading in zip(events, readings, strict=True)
        ]
        self.vectors.append(ids, np.stack([reading.vector for reading in readings]), tokens)
