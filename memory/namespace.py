"""One namespace of a store as a memory: text goes in, events come out under a token budget.

Text is committed first; events, vectors and the index follow (`catch_up`) and can be rebuilt.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from memagent.memory.events import Filter
from memagent.memory.index.encoder import Encoder
from memagent.memory.recall.retriever import Retriever
from memagent.memory.recall.selection import Recalled
from memagent.memory.segmentation.sentences import Segmenter, Sentences, estimate_tokens
from memagent.memory.store import forget
from memagent.memory.store.answers import Answers
from memagent.memory.store.database import Store
from memagent.memory.store.events import Events
from memagent.memory.store.sources import Sources
from memagent.memory.store.spans import Spans
from memagent.types import Event, Piece, Source, Span

__all__ = ["Namespace"]

_PIECES_PER_COMMIT = 32


class Namespace:
    """Sources, spans, events and answers of one namespace, and recall over them.

    `retriever` holds what recall derives from the text. `caches` is a folder in which engines keep
    what they derive; it is deleted when text is forgotten, and may be deleted at any time. Safe to
    use from several threads.
    """

    def __init__(
        self,
        store: Store,
        namespace: str,
        embedder: Encoder,
        index_dir: Path,
        segmenter: Segmenter | None = None,
    ) -> None:
        self.store = store
        self.namespace = namespace
        self.embedder = embedder
        self.sources = Sources(store, namespace)
        self.spans = Spans(store)
        self.events = Events(store, self.sources.namespace_id)
        self.answers = Answers(store, self.sources.namespace_id)
        self.caches = index_dir / f"{self.sources.namespace_id}-caches"
        self.retriever = Retriever(
            self.sources, self.events, embedder, index_dir, segmenter or Sentences()
        )

    @property
    def segmenter(self) -> Segmenter:
        """The segmenter of new text; it may be replaced."""
        return self.retriever.segmenter

    @segmenter.setter
    def segmenter(self, segmenter: Segmenter) -> None:
        self.retriever.segmenter = segmenter

    def add_pieces(
        self, source: Source, pieces: Iterable[Piece], committed: Callable[[int, int], None]
    ) -> None:
        """Append the pieces of a document that are not stored yet, and mark it complete.

        Pieces are committed in batches; after each commit `committed` gets the number of spans and
        characters stored so far. A document that was interrupted continues after its last stored
        piece.
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
            if len(batch) == _PIECES_PER_COMMIT:
                commit()
        if batch:
            commit()
        with self.store.write():
            old = self.sources.finish_document(source)
            if old is not None:
                self.events.drop("source_id = ?", old)

    def catch_up(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Segment, embed and index new text; `progress` gets (done, total) events."""
        self.retriever.catch_up(progress)

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

        `contiguity` is the share of the budget for the neighbours of hits in documents. `where` is
        applied before the search; `skip` leaves out events that the prompt holds already, such as
        the running conversation. Raises NotFoundError if `where` names an unknown source.
        """
        return self.retriever.recall(
            question,
            self.resolve(where),
            budget=budget,
            contiguity=contiguity,
            count=count,
            skip=skip,
        )

    def resolve(self, where: Filter | None) -> Filter:
        """The filter with the names of sources replaced by ids; NotFoundError for unknown ones.

        With `as_of`, a name stands for every version of the document, because the one that was
        current then may have been replaced since.
        """
        where = where or Filter()
        ids: list[int] = []
        for source in where.sources:
            if isinstance(source, int):
                ids.append(self.sources.by_id(source).id)
            else:
                found = self.sources.get(source)
                ids += self.sources.versions(found) if where.as_of else [found.id]
        return replace(where, sources=tuple(ids)) if ids else where

    def withdraw(self, spans: Iterable[Span]) -> None:
        """Withdraw turns: their text stays in the store but is no longer recalled."""
        with self.store.write():
            for span in spans:
                self.spans.withdraw(span.id)
                self.events.drop("span_id = ?", span.id)

    def forget_range(self, source_id: int, start: int, end: int) -> int:
        """Overwrite the characters [start, end) of a source; returns how many. Call `purge` after.

        See `memagent.memory.store.forget.forget_range`.
        """
        return forget.forget_range(self.store, self.events, source_id, start, end)

    def forget_source(self, source: Source) -> int:
        """Forget a document with its earlier versions, or a session. Call `purge` after.

        Returns the number of characters overwritten.
        """
        return forget.forget_source(self.store, self.events, source)

    @property
    def empty(self) -> str:
        """The message for a namespace in which there is nothing to recall."""
        return (
            f"the namespace {self.namespace!r} is empty: put something in with "
            "`memagent add FILE` or `memagent chat`"
        )

    def purge(self) -> None:
        """Remove forgotten text from the index, the caches and the write-ahead log of the store."""
        self.retriever.drop_index()
        if self.caches.exists():
            shutil.rmtree(self.caches)
        self.store.checkpoint()

    def sync_index(self) -> None:
        """Update the index with the stored vectors, rebuilding it if necessary."""
        self.retriever.sync_index()

    def rebuild(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Rebuild events, text index, vectors and vector index from the text."""
        self.retriever.rebuild(progress)

    def resegment(self, segmenter: Segmenter, source: Source | None = None) -> dict[Source, int]:
        """Segment one source or all of them again, one transaction per source.

        Returns the sources that were left unchanged because their surprise is not stored and the
        segmenter's scorer is not available, each with the number of spans that lack it.
        """
        return self.retriever.resegment(segmenter, source)

    def close(self) -> None:
        """Save the index file if the index has grown."""
        self.retriever.save_index()
