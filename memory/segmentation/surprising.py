"""Cutting a span into events of whole sentences, where a sentence begins surprisingly.

Source: "Human-like Episodic Memory for Infinite Context LLMs" (EM-LLM), arXiv:2407.09450. Its
rule works on tokens. Here the unit is the sentence, so that an event can be read and quoted, and
its surprise is the mean over its first tokens. Taking the tokens' own boundaries and moving each
to the start of its sentence was tried: at the same mean size of an event they met the joints
between passages of different books no oftener than random sentences do, the means did.

Knows nothing of models and stores.
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
    """A sentence, or a part of one that is too long, at [start, end) of its text.

    `nats` is the mean surprise of its first tokens, and `threshold` what that has to exceed.
    """

    start: int
    end: int
    opens: bool
    nats: float
    threshold: float


@dataclass(frozen=True)
class SurprisingSentences:
    """Events of whole sentences, `least` to `most` tokens where the text allows it.

    A sentence begins an event if the mean surprise of its first `head` tokens exceeds mean +
    gamma × standard deviation of the `tau` sentences before it; so does one that opens a
    paragraph once `paragraph` tokens are reached. A span of up to `short` tokens is one event,
    and its surprise is not asked for.
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
        """The rule of an `id`, by a scorer that is not at hand; None if it is of another kind."""
        found = _ID.fullmatch(segmenter)
        if found is None:
            return None
        gamma, *sizes, scorer = found.groups()
        return cls(AbsentScorer(scorer), float(gamma), *map(int, sizes))

    @property
    def id(self) -> str:
        """Name, parameters and scorer."""
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
        """The sentences of `text`, each with its surprise and the threshold."""
        rule = Boundaries(self.gamma, self.tau)
        for start, end, opens in short_sentences(text, self.most):
            nats = self._of(surprise, start, end)
            yield Sentence(start, end, opens, nats, rule.threshold())
            rule.push(nats)

    def _of(self, surprise: Surprise, start: int, end: int) -> float:
        """The mean surprise of the first tokens of the sentence [start, end), in nats."""
        import numpy as np

        # A token may begin with the space before the sentence.
        first = int(np.searchsorted(surprise.offsets[:, 1], start, "right"))
        behind = int(np.searchsorted(surprise.offsets[:, 0], end, "left"))
        chosen = surprise.nats[first : min(behind, first + self.head)]
        return float(chosen.mean()) if len(chosen) else 0.0
