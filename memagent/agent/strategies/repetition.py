"""How much of a text says again what was said: a sign that a model runs in a circle.

Pure functions of text. They are given what a model wrote, never the user's words: a person may
repeat themselves, and a model may quote them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from memagent.memory.segmentation.sentences import sentences

__all__ = ["MOST_REPEATED", "repeated_share", "runs_in_a_circle"]

# A larger share of repeated sentences than this is no chance.
MOST_REPEATED = 0.2

# Shorter sentences, in characters without punctuation, come again in any text.
_SHORTEST = 16

# Sentences of a circle, and characters of a text's end in which one is looked for.
_LONGEST_CIRCLE = 8
_LOOKED_AT = 6000


def repeated_share(text: str, earlier: Iterable[str]) -> float:
    """The share of `text`, in characters, of sentences that stand in `earlier` or stood before in
    `text` itself: 0.0 to 1.0. Case, punctuation and white space do not count."""
    seen = {sentence for each in earlier for sentence in _sentences(each)}
    whole = repeated = 0
    for sentence in _sentences(text):
        whole += len(sentence)
        if len(sentence) >= _SHORTEST and sentence in seen:
            repeated += len(sentence)
        seen.add(sentence)
    return repeated / whole if whole else 0.0


def runs_in_a_circle(text: str) -> bool:
    """Whether `text` ends with the same few sentences for the third time in a row."""
    end = text[-_LOOKED_AT:]
    if end.count(end[-_SHORTEST // 2 :]) < 3:
        return False  # which is nearly always so, and told at once
    said = list(_sentences(end))
    return any(
        said[-length:] == said[-2 * length : -length] == said[-3 * length : -2 * length]
        and sum(map(len, said[-length:])) >= _SHORTEST
        for length in range(1, min(_LONGEST_CIRCLE, len(said) // 3) + 1)
    )


def _sentences(text: str) -> Iterator[str]:
    for start, end, _ in sentences(text):
        if words := " ".join(re.findall(r"\w+", text[start:end].casefold())):
            yield words
