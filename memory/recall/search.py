"""Search: the channels propose candidates, the signals rank them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from functools import cached_property

from memagent.memory.events import Filter
from memagent.memory.index.encoder import Encoder
from memagent.memory.index.token_codes import TokenCodes
from memagent.memory.recall.dense import Dense
from memagent.memory.recall.fuse import fuse
from memagent.memory.recall.language.dates import day_of, days_named, mentioned_within, moments
from memagent.memory.recall.language.entities import names_in
from memagent.memory.recall.language.speakers import in_first_person, named_speakers
from memagent.memory.recall.lexical import Lexical, content_words
from memagent.memory.recall.pool import Pool
from memagent.memory.recall.query import Query
from memagent.memory.recall.ranker import contributions
from memagent.memory.recall.selection import OVERHEAD, Hit, Via
from memagent.memory.recall.signals.candidates import Candidates, Rankings, rough_scores
from memagent.memory.store.events import Events
from memagent.types import Event

__all__ = ["Search"]

_FIRST = 3  # hits whose names are searched for
_WORDS_OF_NAMES = 12


class Search:
    """The search of one namespace."""

    def __init__(self, events: Events, lexical: Lexical, dense: Dense, embedder: Encoder) -> None:
        self.events = events
        self.lexical = lexical
        self.dense = dense
        self.embedder = embedder

    @cached_property
    def codes(self) -> TokenCodes | None:
        """The codes of the embedder's tokens, loaded on first use; None if it has none."""
        return TokenCodes.load(self.embedder.id)

    def query(self, question: str, as_of: str | None = None) -> Query:
        """Prepare a question; "last week" and the like count from `as_of`, or from today."""
        reading = self.embedder.read([question])[0] if question.strip() else None
        days = days_named(question, day_of(as_of) if as_of else date.today())
        return Query(question, self.lexical.words(question), reading, days)

    def rankings(self, query: Query, depth: int, where: Filter) -> Rankings:
        """The events that each channel finds; a third channel searches the day that is named."""
        lexical = [event_id for event_id, _ in self.lexical.search(query.words, depth, where)]
        found = {"lexical": lexical, "dense": self._nearest(query, depth, where)}
        if len(query.days) == 1:
            (days,) = query.days
            during = self._nearest(query, depth, where.within(moments(days)))
            after = self._nearest(query, depth, where.within(moments(mentioned_within(days))))
            found["dated"] = list(dict.fromkeys(during + after))[:depth]
        return found

    def gather(self, query: Query, depth: int, where: Filter) -> Candidates | None:
        """Look up the candidates of a query; None if there are none.

        Each channel ranks `depth` events. The rankings are fused, and the top `depth` events become
        candidates together with their neighbours; the best one and a half times `depth` are kept.
        """
        import numpy as np

        rankings = dict(self.rankings(query, depth, where))
        first = fuse(rankings)
        names = self._names(query, [event_id for event_id, _ in first[:_FIRST]])
        if names:
            found = self.lexical.search(names, depth // 2, where)
            rankings["names"] = [event_id for event_id, _ in found]
            first = fuse(rankings)
        pool = Pool(self.events, sorted(event_id for event_id, _ in first[:depth]))
        if not len(pool.rows) or query.reading is None:
            return None
        ids = pool.ids.tolist()
        scores = self.lexical.each([*query.words, *names], ids)
        table = np.array([[of.get(i, 0.0) for i in ids] for of in scores]).reshape(-1, len(ids))
        words, vectors = table[: len(query.words)], self.dense.vectors_of(pool.ids)
        most = depth * 3 // 2
        if len(pool.rows) > most:
            # `@` would use several threads for so many rows, and these slow down the threads of
            # the vector index: the search took twice as long.
            near = np.einsum("nd,d->n", vectors, query.reading.vector)
            pool.narrow(rough_scores(pool, words, near), most)
        pool.read(self.events, where)
        if not pool.events:
            return None
        named = named_speakers(query.text, {name for name in pool.speakers if name})
        own = query.reading
        if named:
            own = self.embedder.read([in_first_person(query.text, named)])[0]
        tokens = None
        turns = [event.id for event in pool.events if event.kind == "session"]
        if self.codes and turns:
            asked = self.codes.project(own.ids, own.tokens)
            packed = self.dense.vectors.tokens(turns)
            tokens = self.codes.max_similarity(asked, [packed.get(e.id) for e in pool.events])
        return Candidates(
            rankings=rankings,
            pool=pool,
            words=words,
            names=table[len(query.words) :],
            vectors=vectors,
            tokens=tokens,
            asked=query.reading.vector,
            in_first_person=own.vector,
            named_speakers=named,
            days=query.days,
        )

    def rank(
        self,
        candidates: Candidates,
        most: int,
        count: Callable[[str], int],
        skip: Callable[[Event], bool],
    ) -> list[Hit]:
        """The best `most` candidates, without those to skip, best first.

        Each hit has its tokens by `count` and what each signal contributes to its score.
        """
        import numpy as np

        places = {
            name: {event_id: place for place, event_id in enumerate(ids, start=1)}
            for name, ids in candidates.rankings.items()
        }
        found = []
        events = candidates.pool.events
        parts = contributions(candidates)
        for row in np.argsort(-np.sum([*parts.values()], axis=0), kind="stable")[:most].tolist():
            event = events[row]
            if not skip(event):
                why = {name: float(part[row]) for name, part in parts.items()}
                ranks = {name: of[event.id] for name, of in places.items() if event.id in of}
                tokens = count(event.text) + OVERHEAD
                via: Via = "similarity" if ranks else "contiguity"
                found.append(Hit(event, sum(why.values()), ranks, tokens, via, why))
        return found

    def _names(self, query: Query, hits: Sequence[int]) -> list[str]:
        """Words of names that the first hits in documents mention and the question does not.

        For a question of two hops, the answer may be near these names.
        """
        asked = query.text.casefold()
        words = [
            word
            for event in self.events.get(hits)
            if event.kind == "document"
            for name in names_in(event.text)
            if name.casefold() not in asked
            for word in content_words(name)
            if word not in asked
        ]
        return list(dict.fromkeys(words))[:_WORDS_OF_NAMES]

    def _nearest(self, query: Query, depth: int, where: Filter) -> list[int]:
        if query.reading is None:
            return []
        allowed = self.events.allowed(where) if where else None
        found = self.dense.search(query.reading.vector, depth, allowed)
        return [event_id for event_id, _ in found]
