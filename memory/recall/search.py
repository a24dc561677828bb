"""Looking for what answers a question: both channels propose events, their signs rank them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date

from memagent.memory.embed import Embedder
from memagent.memory.events import Events, Filter
from memagent.memory.items import Event
from memagent.memory.recall.budget import OVERHEAD, Hit, Via
from memagent.memory.recall.clues import in_first_person, named
from memagent.memory.recall.dates import days_named, moments, told
from memagent.memory.recall.dense import Dense
from memagent.memory.recall.features import Signs, features
from memagent.memory.recall.lexical import Lexical
from memagent.memory.recall.linear import weighed
from memagent.memory.recall.pool import Pool
from memagent.memory.recall.query import Query
from memagent.memory.token_codes import TokenCodes

__all__ = ["Rankings", "Search"]

# Event ids per channel, best first.
Rankings = Mapping[str, Sequence[int]]


class Search:
    """The search of one namespace. `codes` is None where the embedder has none for its tokens."""

    def __init__(
        self,
        events: Events,
        lexical: Lexical,
        dense: Dense,
        embedder: Embedder,
        codes: TokenCodes | None,
    ) -> None:
        self.events = events
        self.lexical = lexical
        self.dense = dense
        self.embedder = embedder
        self.codes = codes

    def query(self, question: str) -> Query:
        """The question as it is looked for."""
        reading = self.embedder.read([question])[0] if question.strip() else None
        days = days_named(question, date.today())
        return Query(question, self.lexical.words(question), reading, days)

    def rankings(self, query: Query, depth: int, which: Filter) -> Rankings:
        """What each channel finds; one of its own looks through the days that are named."""
        lexical = [event_id for event_id, _ in self.lexical.search(query.words, depth, which)]
        found = {"lexical": lexical, "dense": self._nearest(query, depth, which)}
        if len(query.days) == 1:
            (days,) = query.days
            then = self._nearest(query, depth, which.within(moments(days)))
            later = self._nearest(query, depth, which.within(moments(told(days))))
            found["dated"] = list(dict.fromkeys(then + later))[:depth]
        return found

    def signs(self, query: Query, rankings: Rankings, which: Filter) -> Signs | None:
        """What is looked up to score the events that the channels ranked and those beside them;
        nothing where there are none."""
        import numpy as np

        pool = Pool(self.events, sorted({i for ids in rankings.values() for i in ids}), which)
        if not pool.candidates or query.reading is None:
            return None
        ids = pool.ids.tolist()
        each = self.lexical.each(query.words, ids)
        words = np.array([[of.get(i, 0.0) for i in ids] for of in each]).reshape(-1, len(ids))
        meant = named(query.text, {name for name in pool.speakers if name})
        own = query.reading
        if meant:
            own = self.embedder.read([in_first_person(query.text, meant)])[0]
        tokens = None
        if self.codes:
            asked = self.codes.short(own.ids, own.tokens)
            packed = self.dense.vectors.tokens([event.id for event in pool.candidates])
            tokens = self.codes.met(asked, packed)
        return Signs(
            pool=pool,
            words=words,
            vectors=self.dense.of(pool.ids),
            tokens=tokens,
            asked=query.reading.vector,
            in_first_person=own.vector,
            meant=meant,
            days=query.days,
        )

    def hits(
        self,
        query: Query,
        rankings: Rankings,
        which: Filter,
        count: Callable[[str], int],
        skip: Callable[[Event], bool],
    ) -> list[Hit]:
        """The events in question but for those to skip, best first, with their tokens by `count`
        and what each sign adds to their score."""
        signs = self.signs(query, rankings, which)
        if signs is None:
            return []
        places = {
            name: {event_id: place for place, event_id in enumerate(ids, start=1)}
            for name, ids in rankings.items()
        }
        found = []
        parts = weighed(features(signs), [event.kind for event in signs.pool.candidates])
        for row, event in enumerate(signs.pool.candidates):
            if not skip(event):
                why = {name: float(part[row]) for name, part in parts.items()}
                ranks = {name: of[event.id] for name, of in places.items() if event.id in of}
                tokens = count(event.text) + OVERHEAD
                via: Via = "similarity" if ranks else "contiguity"
                found.append(Hit(event, sum(why.values()), ranks, tokens, via, why))
        return sorted(found, key=lambda hit: -hit.score)

    def _nearest(self, query: Query, depth: int, which: Filter) -> list[int]:
        if query.reading is None:
            return []
        allowed = self.events.allowed(which) if which else None
        found = self.dense.search(query.reading.vector, depth, allowed)
        return [event_id for event_id, _ in found]
