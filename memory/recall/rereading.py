"""A second look at the best events where not all of them fit: by a reader of text, if one is given.

Knows nothing of which reader it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from memagent.memory.recall.budget import Hit

__all__ = ["Reread", "reread"]

# How well each of the texts answers the question; any scale, higher is better.
Reread = Callable[[str, Sequence[str]], Sequence[float]]

_FIRST = 20  # events, and tokens, at most
_TOKENS = 1200
# Of a deviation of the reader's scores. Fitted on conversations, flat between 0.5 and 0.9.
_WEIGHT = 0.65


def reread(question: str, hits: list[Hit], read: Reread, budget: int) -> list[Hit]:
    """The hits in the order of their scores, to which the reader's are added for the first ones.

    What fits into `budget` tokens anyway is not read: it would come in another order only.
    """
    import numpy as np

    count = spent = 0
    while count < min(_FIRST, len(hits)) and spent + hits[count].tokens <= _TOKENS:
        spent += hits[count].tokens
        count += 1
    if spent <= budget:
        return hits
    first, rest = hits[:count], hits[count:]
    scores = np.asarray(read(question, [hit.event.text for hit in first]), dtype=np.float64)
    parts = _WEIGHT * (scores - scores.mean()) / (scores.std() + 1e-6)
    again = [
        replace(hit, score=hit.score + float(part), why=hit.why | {"reading": float(part)})
        for hit, part in zip(first, parts, strict=True)
    ]
    return sorted(again + rest, key=lambda hit: -hit.score)
