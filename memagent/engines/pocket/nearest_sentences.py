"""The sentences nearest to a question, to quote when no short span can answer it.

They are also the baseline that the span reader must beat. Knows nothing of events.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from memagent.memory.index.encoder import Encoder
from memagent.memory.recall.lexical import content_words
from memagent.memory.segmentation.sentences import sentences

__all__ = ["Nearest", "Sentence"]


@dataclass(frozen=True, slots=True)
class Sentence:
    """Characters [start, end) of texts[text], and their similarity to the question."""

    text: int
    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Nearest:
    """Scores sentences against a question.

    The score is the cosine similarity of the embeddings plus `overlap` times the share of the
    question's content words that occur in the sentence. Sentences that score at least `least` and
    within `near` of the best are worth quoting.
    """

    embedder: Encoder
    least: float = 0.7
    near: float = 0.12
    overlap: float = 0.5

    def rank(
        self,
        question: str,
        texts: Sequence[str],
        skip: Callable[[int, str], bool] = lambda text, sentence: False,
    ) -> list[Sentence]:
        """All sentences of the texts, nearest first, without those for which `skip` returns True.

        `skip` gets the index of a text and a sentence of it.
        """
        places = [
            (number, start, end)
            for number, text in enumerate(texts)
            for start, end, _ in sentences(text)
            if not skip(number, text[start:end])
        ]
        if not places:
            return []
        said = [texts[number][start:end] for number, start, end in places]
        vectors = self.embedder.encode([question, *said])
        wanted = set(map(_stem, content_words(question)))
        scored = [
            Sentence(*place, float(cosine) + self.overlap * _share(wanted, sentence))
            for place, sentence, cosine in zip(places, said, vectors[1:] @ vectors[0], strict=True)
        ]
        return sorted(scored, key=lambda found: -found.score)

    def worth_quoting(self, ranked: Sequence[Sentence]) -> list[Sentence]:
        """The sentences among those from `rank` that are worth quoting, nearest first."""
        if not ranked:
            return []
        bar = max(self.least, ranked[0].score - self.near)
        return [sentence for sentence in ranked if sentence.score >= bar]


def _share(wanted: set[str], text: str) -> float:
    have = set(map(_stem, content_words(text)))
    return len(wanted & have) / len(wanted) if wanted else 0.0


def _stem(word: str) -> str:
    return re.sub(r"(ing|ed|es|s|e)$", "", word) if len(word) > 4 else word
