"""What speaks for an event as the evidence a question asks for: a number per event and sign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memagent.memory.recall.language.dates import Days, closeness, day_of
from memagent.memory.recall.language.speakers import tells_time
from memagent.memory.recall.pool import Pool
from memagent.types import Event

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Rankings", "Signs", "features", "rough"]

# Event ids per channel, best first.
Rankings = Mapping[str, Sequence[int]]

_WORDS_AROUND = (0.7, 0.5)  # of a word's BM25 in the events beside, and in those beyond
_MEANING_AROUND = (0.7, 0.5)  # of the vectors of these
_BEST_OF_SOURCE = 3
_STRETCH = 4  # events on each side


@dataclass(frozen=True, slots=True)
class Signs:
    """What was looked up for a question: over a pool of n events, m of them in question.

    `rankings` is what the channels found. `words` [word, n] is the BM25 score of each word of the
    question, `names` [word, n] of names that the first hits bring up; `vectors` [n, dim]; `tokens`
    [token, m] is how well each token of the question is met, nan where that is not known; `asked`
    and `in_first_person` [dim] are the vectors of the question as it is, and as the speakers whom
    it names would put it; `meant` are these speakers, `days` what it says of when.
    """

    rankings: Rankings
    pool: Pool
    words: np.ndarray
    names: np.ndarray
    vectors: np.ndarray
    tokens: np.ndarray | None
    asked: np.ndarray
    in_first_person: np.ndarray
    meant: Set[str]
    days: Sequence[Days]


def features(signs: Signs) -> dict[str, np.ndarray]:
    """Each sign by its name, float64 [m]. Scores count in deviations over the candidates; a
    speaker is 1 if the question names them, -1 if it names others."""
    import numpy as np

    pool, rows = signs.pool, signs.pool.rows
    around = meaning_around(pool, signs.vectors)
    scores = {
        "words around": words_around(pool, signs.words),
        "meaning around": around @ signs.asked,
        "own words around": around @ signs.in_first_person,
    }
    found = {name: _scaled(score) for name, score in scores.items()}
    words = _scaled(np.log1p(signs.words.sum(0))[rows])
    own = _scaled(signs.vectors[rows] @ signs.in_first_person)
    found["source"] = _of_source(words + own, pool.source_rows())
    other = -1.0 if signs.meant else 0.0
    found["tokens"] = _met(signs.tokens, own)
    found["names"] = _scaled(signs.names[:, rows].max(0, initial=0.0))
    found["stretch"] = pool.neighbours(found["words around"] + found["meaning around"], _STRETCH)
    found["speaker"] = np.array([1.0 if name in signs.meant else other for name in pool.speakers])
    found |= _of_turns(pool.candidates, signs.days)
    return found


def _of_turns(events: Sequence[Event], days: Sequence[Days]) -> dict[str, np.ndarray]:
    """What a turn alone tells, [m] each; nothing of a document does. Few questions name a day: the
    times of hundreds of turns need not be read for the others."""
    import numpy as np

    rows = [
        (
            closeness(day_of(event.time), days) if days else 0.0,
            float(tells_time(event.text)),
            float(event.text.rstrip().endswith("?")),
        )
        if event.kind == "session"
        else (0.0, 0.0, 0.0)
        for event in events
    ]
    return dict(zip(("when", "time", "question"), np.array(rows).T, strict=True))


def words_around(pool: Pool, words: np.ndarray) -> np.ndarray:
    """How well an event and those around it hold the words [word, n] of a question: [m]."""
    import numpy as np

    held: np.ndarray = np.log1p(pool.spread(words.T, _WORDS_AROUND, np.maximum).sum(1))
    return held


def meaning_around(pool: Pool, vectors: np.ndarray) -> np.ndarray:
    """The vector of an event with those around it, of vectors [n, dim]: [m, dim] of length 1."""
    import numpy as np

    around = pool.spread(vectors, _MEANING_AROUND, np.add)
    unit: np.ndarray = around / np.maximum(np.linalg.norm(around, axis=1, keepdims=True), 1e-9)
    return unit


def rough(pool: Pool, words: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Scores [m] for which no event has to be read: of words [word, n], and of how near each is to
    the question [n]."""
    import numpy as np

    around = _scaled(pool.spread(near, _MEANING_AROUND, np.add))
    score: np.ndarray = around + _scaled(words_around(pool, words))
    return score


def _scaled(score: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = (score - score.mean()) / (score.std() + 1e-6)
    return scaled


def _met(tokens: np.ndarray | None, own: np.ndarray) -> np.ndarray:
    """The mean over the question's tokens of how well each is met, scaled first one by one: what
    every event meets tells nothing. Where that is not known, how near the event's own vector is."""
    import numpy as np

    if tokens is None or not len(tokens):
        return own
    known = ~np.isnan(tokens).any(0)
    found = own.copy()
    if known.any():
        found[known] = _scaled(np.mean([_scaled(row) for row in tokens[:, known]], axis=0))
    return found


def _of_source(score: np.ndarray, source: np.ndarray) -> np.ndarray:
    """For each event the mean of the best scores of its source, scaled."""
    import numpy as np

    best = np.zeros(len(score))
    for number in range(source.max() + 1):
        inside = source == number
        best[inside] = np.sort(score[inside])[-_BEST_OF_SOURCE:].mean()
    return _scaled(best)
