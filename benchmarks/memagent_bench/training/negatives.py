"""Passages that do not contain the answer but are likely to be mistaken for one that does.

Knows nothing of models; similarity is TF-IDF.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from memagent_bench.data.items import Item, find_all

__all__ = ["without_answer"]

# One of the nearest passages is drawn, as the very nearest may answer in other words.
NEAREST = 12
AT_ONCE = 512


def without_answer(
    items: Sequence[Item], others: Sequence[str], seed: int, count: int = 1
) -> list[list[str]]:
    """For each item, `count` passages of the items or of `others` that contain none of its answers.

    Three of four are drawn from the passages nearest to the question, the rest from all. There are
    fewer than `count` if candidates contain an answer.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    random = Random(seed)
    pool = list(dict.fromkeys([item.passage for item in items] + list(others)))
    vectorizer = TfidfVectorizer(stop_words="english", sublinear_tf=True)
    passages = vectorizer.fit_transform(pool).T.tocsr()
    found: list[list[str]] = []
    for start in range(0, len(items), AT_ONCE):
        part = items[start : start + AT_ONCE]
        scores = (vectorizer.transform([item.question for item in part]) @ passages).toarray()
        nearest = (-scores).argpartition(NEAREST, axis=1)[:, :NEAREST]
        for item, near in zip(part, nearest.tolist(), strict=True):
            random.shuffle(near)
            kept: list[str] = []
            for place in near:
                drawn = place if random.random() < 0.75 else random.randrange(len(pool))
                if len(kept) < count and _lacks(item, pool[drawn]):
                    kept.append(pool[drawn])
            found.append(kept)
    return found


def _lacks(item: Item, passage: str) -> bool:
    if passage == item.passage:
        return False
    spans = {item.passage[start:end] for start, end in item.spans}
    return not any(find_all(passage, answer) for answer in {*item.answers, *spans})
