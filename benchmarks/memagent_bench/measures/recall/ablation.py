"""Ablations at equal budgets: how events are segmented, and the share for neighbours.

Each variant is compared with the product's default on the same questions.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memagent.memory.index.embedder import Embedder
from memagent.memory.segmentation.scorer import Score, score
from memagent.memory.segmentation.sentences import (
    Segmenter,
    Sentences,
    estimate_tokens,
    short_sentences,
)
from memagent.memory.segmentation.surprising import SurprisingSentences
from memagent.scorers.local import ModelSurprise
from memagent_bench.bootstrap import paired_gain
from memagent_bench.data.items import History
from memagent_bench.measures.recall.score import coverage
from memagent_bench.measures.recall.stored import SHARE, Stored
from memagent_bench.measures.segments.ways import refined
from memagent_bench.sample import thinned

if TYPE_CHECKING:
    import numpy as np

__all__ = ["OWN_WAY", "ablated", "segmenters"]

BUDGETS = (1000, 2000)
SHARES = (0.0, 0.3)  # of the budget for neighbours in documents
OWN_WAY = ("surprise", SHARE)
_WINDOW = 95  # tokens, the mean size of events by surprise
_HISTORIES, _QUESTIONS = 12, 240


@dataclass(frozen=True, slots=True)
class Windows:
    """Events of a fixed number of tokens, whatever the text; they end at word boundaries."""

    tokens: int = _WINDOW

    @property
    def id(self) -> str:
        return f"windows-{self.tokens}"

    def cut(self, text: str, score: Score = score) -> list[tuple[int, int]]:
        events: list[tuple[int, int]] = []
        place = 0
        for word in text.split():
            start = text.index(word, place)
            place = start + len(word)
            if events and estimate_tokens(text[events[-1][0] : place]) <= self.tokens:
                events[-1] = (events[-1][0], place)
            else:
                events.append((start, place))
        return events


@dataclass(frozen=True, slots=True)
class Refined:
    """Events of another segmenter, with each boundary moved to the most modular cut."""

    segmenter: Segmenter
    embedder: Embedder

    @property
    def id(self) -> str:
        return f"refined-{self.segmenter.id}"

    def cut(self, text: str, score: Score = score) -> list[tuple[int, int]]:
        import numpy as np

        events = self.segmenter.cut(text, score)
        found = [(start, end) for start, end, _ in short_sentences(text, 128)]
        if len(events) < 2 or len(found) < 3:
            return events
        starts = [start for start, _ in found]
        cuts = np.unique(np.searchsorted(starts, [start for start, _ in events[1:]]))
        inner = [int(cut) for cut in cuts if 0 < cut < len(found)]
        vectors = self.embedder.encode([text[start:end] for start, end in found])
        words = np.array([len(text[start:end].split()) for start, end in found])
        moved = [0, *refined(vectors * words[:, None], inner), len(found)]
        return [
            (found[first][0], found[end - 1][1]) for first, end in pairwise(moved) if first < end
        ]


def segmenters(embedder: Embedder) -> Mapping[str, Segmenter]:
    """The segmenters by name; "surprise" is the product's default."""
    surprise = SurprisingSentences(ModelSurprise())
    return {
        "surprise": surprise,
        "surprise, refined": Refined(surprise, embedder),
        "sentences": Sentences(),
        "fixed windows": Windows(),
    }


def ablated(
    name: str, histories: Sequence[History], embedder: Embedder, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """A row per variant: coverage at each budget, and the gain over the product's default.

    Gains have a 95 % interval over questions. Histories and questions are an evenly spaced sample
    of the set.
    """
    import numpy as np

    histories = list(thinned(histories, _HISTORIES))
    limit = -(-_QUESTIONS // len(histories))
    found: dict[tuple[str, float], list[list[float]]] = defaultdict(list)
    for history in histories:
        for cut, segmenter in segmenters(embedder).items():
            tell(f"{name}: {history.name}, events by {cut}")
            with tempfile.TemporaryDirectory() as folder:
                stored = Stored(history, embedder, Path(folder), segmenter)
                for asked in thinned(history.asked, limit):
                    for share in SHARES:
                        recalled = [
                            stored.recall(asked.question, budget, share) for budget in BUDGETS
                        ]
                        found[cut, share].append([coverage(asked, each) for each in recalled])
                stored.close()
    own = np.array(found[OWN_WAY])
    return [
        {"measure": "ablation", "set": name, "events": cut, "for neighbours": share}
        | {"questions": len(covered)}
        | _figures(np.array(covered), own)
        for (cut, share), covered in found.items()
    ]


def _figures(covered: np.ndarray, own: np.ndarray) -> dict[str, float]:
    figures = {}
    for place, budget in enumerate(BUDGETS):
        gain, low, high = paired_gain(covered[:, place], own[:, place])
        figures[f"@{budget}"] = round(float(covered[:, place].mean()), 4)
        figures |= {f"gain @{budget}": gain, f"low @{budget}": low, f"high @{budget}": high}
    return figures
