"""Cuts a span into events of whole sentences, at sentences with a surprising beginning.

Source: "Human-like Episodic Memory for Infinite Context LLMs" (EM-LLM), arXiv:2407.09450. The
paper's rule works on tokens. Here the unit is the sentence, so that events can be read and quoted,
and the surprise of a sentence is the mean over its first tokens. The alternative of moving each
token boundary to the start of its sentence did no better than chance at finding the joins between
passages of different books, at the same mean event size; sentence means did better.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from memagent.errors import UsageError
from memagent.memory.segmentation.boundaries import Boundaries
from memagent.memory.segmentation.scorer import AbsentScorer, Score, Scorer, score
from memagent.memory.segmentation.sentences import estimate_tokens, short_sentences

if TYPE_CHECKING:
    from memagent.memory.segmentation.scorer import Surprise

__all__ = ["Sentence", "SurprisingSentences"]

_ID = re.compile(r"surprise-(-?[\d.]+(?:e[-+]\d+)?)" + r"-(\d+)" * 6 + "-(.+)")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, or part of an overlong one, at the characters [start, end) of its text.

    `opens` is whether it starts a paragraph. `nats` is the mean surprise of its first tokens; an
    event can begin here if this exceeds `threshold`.
    """

    start: int
    end: int
    opens: bool
    nats: float
    threshold: float


@dataclass(frozen=True)
class SurprisingSentences:
    """Segments text into events of whole sentences, of `least` to `most` tokens where possible.

    A sentence begins a new event if the mean surprise of its first `head` tokens exceeds mean +
    gamma × standard deviation of the previous `tau` sentences. The first sentence of a paragraph
    also begins one if the current event has at least `paragraph` tokens. A span of up to `short`
    tokens is a single event and is not scored.
    """

    scorer: Scorer
    gamma: float = 0.5
    tau: int = 64
    head: int = 16
    least: int = 64
    most: int = 128
    paragraph: int = 96
    short: int = 128

    def __post_init__(self) -> None:
        rules = (
            (math.isfinite(self.gamma), "gamma", "a number"),
            (self.tau >= 2, "tau", "at least 2 sentences"),
            (self.head >= 1, "head", "at least 1 token"),
            (self.least >= 1, "least", "at least 1 token"),
            (self.most >= self.least, "most", f"at least the {self.least} tokens of least"),
            (self.paragraph >= 1, "paragraph", "at least 1 token"),
        )
        for holds, name, rule in rules:
            if not holds:
                raise UsageError(f"{name} must be {rule}, not {getattr(self, name)}")

    @classmethod
    def recorded(cls, segmenter: str) -> Self | None:
        """The segmenter with this id, without its scorer; None if the id is of another type."""
        found = _ID.fullmatch(segmenter)
        if found is None:
            return None
        gamma, *sizes, scorer = found.groups()
        return cls(AbsentScorer(scorer), float(gamma), *map(int, sizes))

    @property
    def id(self) -> str:
        """The name, parameters and scorer id of this segmenter."""
        sizes = f"{self.least}-{self.most}-{self.paragraph}-{self.short}"
        return f"surprise-{self.gamma:g}-{self.tau}-{self.head}-{sizes}-{self.scorer.id}"

    def cut(self, text: str, score: Score = score) -> list[tuple[int, int]]:
        if not any(character.isalnum() for character in text):
            return []
        if estimate_tokens(text) <= self.short:
            found = list(short_sentences(text, self.most))
            return [(found[0][0], found[-1][1])]
        events: list[tuple[int, int]] = []
        size = 0
        for one in self.judged(text, score(self.scorer, text)):
            tokens = estimate_tokens(text[one.start : one.end])
            surprising = one.nats > one.threshold
            wanted = (surprising and size >= self.least) or (one.opens and size >= self.paragraph)
            if not events or wanted or size + tokens > self.most:
                events.append((one.start, one.end))
                size = tokens
            else:
                events[-1] = (events[-1][0], one.end)
                size += tokens
        return events

    def judged(self, text: str, surprise: Surprise) -> Iterator[Sentence]:
        """The sentences of `text`, each with its surprise and threshold."""
        rule = Boundaries(self.gamma, self.tau)
        for start, end, opens in short_sentences(text, self.most):
            nats = self._of(surprise, start, end)
            yield Sentence(start, end, opens, nats, rule.threshold())
            rule.push(nats)

    def _of(self, surprise: Surprise, start: int, end: int) -> float:
        """The mean surprise in nats of the first `head` tokens of the sentence [start, end)."""
        import numpy as np

        # The first token may include the space before the sentence.
        first = int(np.searchsorted(surprise.offsets[:, 1], start, "right"))
        stop = int(np.searchsorted(surprise.offsets[:, 0], end, "left"))
        chosen = surprise.nats[first : min(stop, first + self.head)]
        return float(chosen.mean()) if len(chosen) else 0.0
