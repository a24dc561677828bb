"""Cutting a span into events of whole sentences, where a sentence begins surprisingly.

Source: "Human-like Episodic Memory for Infinite Context LLMs" (EM-LLM), arXiv:2407.09450. Its
rule works on tokens. Here the unit is the sentence, so that an event can be read and quoted, and
its surprise is the mean over its first tokens. Taking the tokens' own boundaries and moving each
to the start of its sentence was tried: at the same mean size of an event they met the joints
between passages of different books no oftener than random sentences do, the means did.

Knows nothing of models and stores.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from memagent.memory.boundaries import Boundaries
from memagent.memory.segment import estimate_tokens, short_sentences
from memagent.memory.surprise import Scorer

if TYPE_CHECKING:
    from memagent.memory.surprise import Surprise

__all__ = ["SurprisingSentences"]


class SurprisingSentences:
    """Events of whole sentences, `least` to `most` tokens where the text allows it.

    A sentence begins an event if the mean surprise of its first `head` tokens exceeds mean +
    gamma × standard deviation of the `tau` sentences before it; so does one that opens a
    paragraph once `paragraph` tokens are reached. A span of up to `short` tokens is one event,
    and the scorer is not asked.
    """

    def __init__(
        self,
        scorer: Scorer,
        *,
        gamma: float = 0.5,
        tau: int = 64,
        head: int = 16,
        least: int = 8,
        most: int = 128,
        paragraph: int = 48,
        short: int = 48,
    ) -> None:
        self.scorer = scorer
        self.gamma, self.tau, self.head = gamma, tau, head
        self.least, self.most = least, most
        self.paragraph, self.short = paragraph, short
        sizes = f"{least}-{most}-{paragraph}-{short}"
        self.id = f"surprise-{gamma:g}-{tau}-{head}-{sizes}-{scorer.id}"

    def cut(self, text: str) -> list[tuple[int, int]]:
        found = list(short_sentences(text, self.most))
        if not found:
            return []
        if estimate_tokens(text) <= self.short:
            return [(found[0][0], found[-1][1])]
        surprise = self.scorer.score([text])[0]
        rule = Boundaries(self.gamma, self.tau, 1, sys.maxsize)
        events: list[tuple[int, int]] = []
        size = 0
        for start, end, opens in found:
            tokens = estimate_tokens(text[start:end])
            surprising = rule.push(self._of(surprise, start, end))
            wanted = (surprising and size >= self.least) or (opens and size >= self.paragraph)
            if not events or wanted or size + tokens > self.most:
                events.append((start, end))
                size = tokens
            else:
                events[-1] = (events[-1][0], end)
                size += tokens
        return events

    def _of(self, surprise: Surprise, start: int, end: int) -> float:
        """The mean surprise of the first tokens of the sentence [start, end), in nats."""
        import numpy as np

        # A token may begin with the space before the sentence.
        first = int(np.searchsorted(surprise.offsets[:, 1], start, "right"))
        behind = int(np.searchsorted(surprise.offsets[:, 0], end, "left"))
        chosen = surprise.nats[first : min(behind, first + self.head)]
        return float(chosen.mean()) if len(chosen) else 0.0
