"""One namespace of a store as a memory: text goes in, events come out under a token budget.

Text is committed first; events, vectors and the index follow (`catch_up`) and can be rebuilt.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from memagent.memory.events import Filter
from memagent.memory.index.embedder import Embedder
from memagent.memory.index.vector_index import VectorIndex
from memagent.memory.recall.dense import Dense
from memagent.memory.recall.lexical import Lexical
from memagent.memory.recall.search import Search
from memagent.memory.recall.selection import Recalled, choose
from memagent.memory.recall.supersession import supersede
from memagent.memory.recall.versions import Versions
from memagent.memory.segmentation.sentences import Segmenter, Sentences, estimate_tokens
from memagent.memory.store.answers import Answers
from memagent.memory.store.database import Store
from memagent.memory.store.events import Events
from memagent.memory.store.sources import Sources
from memagent.memory.store.spans import Spans
from memagent.memory.store.vectors import Vectors
from memagent.types import Event, Piece, Source, Span

__all__ = ["Namespace"]

_EMBED_AT_ONCE = 128
# Each channel looks for so many events, or one for so many tokens of the budget.
_DEPTH = 400
_TOKENS_A_HIT = 20
_HITS = 200  # are told by their tokens, or one for so many tokens of the budget
_TOKENS_AT_LEAST = 8  # of an event with its label


class Namespace:
    """Sources, spans, events and recall of one namespace.

    `warn` gets one line whenever a cache had to be rebuilt, and what an engine cannot follow.
    Safe to use from several threads.
    `caches` is a folder for what engines derive from this namespace; it goes when text is
    forgotten, and may be deleted at any time.
    """

    def __init__(
        self,
        store: Store,
        namespace: str,
        embedder: Embedder,
        index_dir: Path,
        warn: Callable[[str], None],
        segmenter: Segmenter | None = None,
    ) -> None:
        self.store = store
        self.namespace = namespace
        self.embedder = embedder
        self.warn = warn
        self.segmenter = segmenter or Sentences()
        self.sources = Sources(store, namespace)
        self.spans = Spans(store)
        namespace_id = self.sources.namespace_id
        self.caches = index_dir / f"{namespace_id}-caches"
        self.events = Events(store, namespace_id)
        self.answers = Answers(store, namespace_id)
        self.vectors = Vectors(store, namespace_id, embedder.id, embedder.dim)
        self.lexical = Lexical(store, namespace_id)
        self.index = VectorIndex(
            index_dir / f"{namespace_id}-{embedder.id}.faiss",
            embedder.dim,
            on_warning=warn,
            label=f"the index of the namespace {namespace!r}",
        )
        self._lock = threading.RLock()
        self.dense = Dense(self.vectors, self.index, self._lock)
        self.search = Search(self.events, self.lexical, self.dense, embedder)
        self.versions = Versions(
            store, namespace, namespace_id, embedder, index_dir, warn, self.segmenter
        )

    def add_pieces(
        self, source: Source, pieces: Iterable[Piece], committed: Callable[[int, int], None]
    ) -> None:
        """Append the pieces of a document that are not stored yet, in batches of a commit each.

        After each commit `committed` gets the spans and characters stored so far. A document that
        was interrupted goes on behind its last stored piece.
        """
        after = self.spans.count(source.id)
        batch: list[Piece] = []

        def commit() -> None:
            nonlocal after
            after = self.spans.append_pieces(source.id, batch, after)
            batch.clear()
            committed(after, self.sources.by_id(source.id).chars)

        for position, piece in enumerate(pieces):
            if position < after:
                continue
            batch.append(piece)
            if len(batch) == 32:
                commit()
        if batch:
            commit()
        with self.store.write():
            old = self.sources.finish_document(source)
            if old is not None:
                self.events.drop("source_id = ?", old)

    def catch_up(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Cut, embed and index what was stored since; `progress` gets (done, total) events."""
        with self._lock:
            while self.events.segment_pending(self.segmenter):
                if progress is not None:
                    _, through, _ = self.vectors.size()
                    progress(0, self.events.count_after(through))
            self._embed(progress)

    def _embed(self, progress: Callable[[int, int], None] | None = None) -> None:
        total = done = None
        while True:
            _, through, _ = self.vectors.size()
            events = self.events.after(through, _EMBED_AT_ONCE)
            if not events:
                break
            if progress is not None and total is None:
                total, done = self.events.count_after(through), 0
            self._store_vectors(events)
            if progress is not None and total is not None and done is not None:
                done += len(events)
                progress(done, max(total, done))

    def _store_vectors(self, events: Sequence[Event]) -> None:
        """Vectors of events and, of turns, the codes of their tokens; for documents these are not
        asked for."""
        import numpy as np

        ids, texts = [event.id for event in events], [event.text for event in events]
        said = any(event.kind == "session" for event in events)
        codes = self.search.codes if said else None
        if codes is None:
            self.vectors.append(ids, self.embedder.encode(texts))
            return
        read = self.embedder.read(texts)
        tokens = [
            codes.pack(one.ids, one.tokens) if event.kind == "session" else None
            for event, one in zip(events, read, strict=True)
        ]
        self.vectors.append(ids, np.stack([one.vector for one in read]), tokens)

    def recall(
        self,
        question: str,
        *,
        budget: int,
        contiguity: float = 0.0,
        count: Callable[[str], int] = estimate_tokens,
        where: Filter | None = None,
        skip: Callable[[Event], bool] = lambda event: False,
    ) -> Recalled:
        """Events for `question` under `budget` tokens, measured by `count`.

        `which` is applied before the search; `skip` leaves out events that the prompt holds
        already, such as the running conversation.
        """
        where = self.resolve(where or Filter())
        self.catch_up()
        search = self.search
        if where.as_of:
            search = self.versions.search(where.as_of, self.dense) or search
        depth = max(_DEPTH, budget // _TOKENS_A_HIT)
        signs = search.look(search.query(question, where.as_of), depth, where)
        most = max(_HITS, budget // _TOKENS_AT_LEAST)
        hits = search.hits(signs, most, count, skip) if signs else []
        recalled = choose(
            question,
            hits,
            lambda event: [e for e in search.events.neighbours(event, where) if not skip(e)],
            count,
            budget=budget,
            contiguity=contiguity,
            channels={name: len(ids) for name, ids in (signs.rankings if signs else {}).items()},
        )
        return supersede(recalled, self.events, self.lexical, where, count, skip)

    def resolve(self, where: Filter) -> Filter:
        """The filter with the names of sources replaced by ids; NotFoundError for unknown ones.

        With `as_of`, a name stands for every version of the document, because the one that was
        current then may have been replaced since.
        """
        ids: list[int] = []
        for source in where.sources:
            if isinstance(source, int):
                ids.append(self.sources.by_id(source).id)
            else:
                found = self.sources.get(source)
                ids += self.sources.versions(found) if where.as_of else [found.id]
        return replace(where, sources=tuple(ids)) if ids else where

    def withdraw(self, spans: Iterable[Span]) -> None:
        """Take turns back: their text stays, nothing is recalled from it any more."""
        with self.store.write():
            for span in spans:
                self.spans.withdraw(span.id)
                self.events.drop("span_id = ?", span.id)

    @property
    def empty(self) -> str:
        """What to say when there is nothing to recall."""
        return (
            f"the namespace {self.namespace!r} is empty: put something in with "
            "`memagent add FILE` or `memagent chat`"
        )

    def purge(self) -> None:
        """Leave no byte of what was forgotten: in index and caches, in the log of the store."""
        with self._lock:
            self.index.drop()
            self.vectors.mark_saved(False)
        if self.caches.exists():
            shutil.rmtree(self.caches)
        self.store.checkpoint()

    def sync_index(self) -> None:
        """Bring the index into step with the store's vectors, rebuilding it if need be."""
        self.dense.sync()

    def rebuild(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Make events, words, vectors and index anew from the text."""
        with self._lock:
            self.vectors.reset()
            self.events.reset()
            self.index.drop()
            self.catch_up(progress)
            self.sync_index()

    def resegment(self, segmenter: Segmenter, source: Source | None = None) -> dict[Source, int]:
        """Cut a source anew, or all of them, a transaction each; words and vectors follow.

        Returns the sources that stayed as they are because surprise is not stored and the
        segmenter's scorer not at hand, each with the number of its spans that lack it.
        """
        with self._lock:
            sources = self.sources.all() if source is None else [source]
            missing = {each: self.events.recut(each.id, segmenter) for each in sources}
            self._embed()
            self.sync_index()
        return {each: spans for each, spans in missing.items() if spans}

    def close(self) -> None:
        """Save the index file if the index grew."""
        with self._lock:
            if self.index.save():
                self.vectors.mark_saved()
