"""A way's boundaries beside chance and fixed windows, over the documents of a set.

Chance has the way's own events in another order, with their sizes in units or in characters;
fixed windows are as many events of one size. Every measure is a quotient of two means over
documents, so that one rule serves them all.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from memagent_bench.data.items import Document
from memagent_bench.measures.segments.baselines import fixed, shuffled, shuffled_by_length
from memagent_bench.measures.segments.score import cohesion, pk, precision_recall_f1, window_diff

if TYPE_CHECKING:
    import numpy as np

__all__ = ["DRAWS", "MEASURES", "SIMILARITY", "Judge"]

DRAWS, RESAMPLES = 100, 1000
SIMILARITY = "similarity inside over between"
MEASURES = (
    "precision",
    "recall",
    "f1",
    "near precision",
    "near recall",
    "near f1",
    "pk",
    "window diff",
    SIMILARITY,
)


@dataclass(slots=True)
class Judge:
    """Gathers the figures of one way, document by document.

    A document has [measures, 2] in `own`, a numerator and a denominator each, and for each
    baseline [draws, measures, 2] in `others`.
    """

    tolerance: int
    source: np.random.Generator
    own: list[np.ndarray] = field(default_factory=list)
    others: dict[str, list[np.ndarray]] = field(default_factory=lambda: defaultdict(list))
    units: int = 0
    events: int = 0

    def add(self, document: Document, prefix: np.ndarray, boundaries: Sequence[int]) -> None:
        """Judge the boundaries of a document; `prefix` as `cohesion` takes it."""
        import numpy as np

        count, draws = len(document.units), range(DRAWS)
        drawn = {
            "random": [shuffled(boundaries, count, self.source) for _ in draws],
            "random by length": [
                shuffled_by_length(boundaries, document, self.source) for _ in draws
            ],
            "fixed": [fixed(len(boundaries), count)],
        }
        self.own.append(self._score(document, prefix, boundaries))
        for name, each in drawn.items():
            scored = [self._score(document, prefix, draw) for draw in each]
            self.others[name].append(np.stack(scored))
        self.units += count
        self.events += len(boundaries) + 1

    def rows(self) -> list[dict[str, Any]]:
        """For each measure the way's figure, those of the baselines, and the gains over them.

        A figure is null where nothing can be said: an interval of one document, a mean of nothing.
        """
        import numpy as np

        own = np.stack(self.own)
        others = {name: np.stack(each) for name, each in self.others.items()}
        picks = self.source.integers(0, len(own), (RESAMPLES, len(own)))
        found = []
        for place, measure in enumerate(MEASURES):
            mine = own[:, place]
            row: dict[str, Any] = {
                "measure": measure,
                "documents": len(own),
                "units per event": round(self.units / self.events, 2),
                "measured": _rounded(_quotient(mine)),
            }
            for name, each in others.items():
                draws = each[:, :, place]
                expected = draws.mean(1)
                row[name] = _rounded(_quotient(expected))
                if draws.shape[1] > 1:
                    row[f"{name} 95 %"] = _ends(_quotient(draws.swapaxes(0, 1)))
                row[f"over {name}"] = _rounded(_quotient(mine) - _quotient(expected))
                gains = _quotient(mine[picks]) - _quotient(expected[picks])
                row[f"over {name} 95 %"] = _ends(gains) if len(own) > 1 else None
            found.append(row)
        return found

    def _score(
        self, document: Document, prefix: np.ndarray, boundaries: Sequence[int]
    ) -> np.ndarray:
        import numpy as np

        count, gold = len(document.units), document.gold
        plain = [
            *precision_recall_f1(boundaries, gold),
            *precision_recall_f1(boundaries, gold, self.tolerance),
            pk(boundaries, gold, count),
            window_diff(boundaries, gold, count),
        ]
        return np.array([*((value, 1.0) for value in plain), cohesion(prefix, boundaries)])


def _quotient(figures: np.ndarray) -> np.ndarray:
    """Figures [..., documents, 2]: the mean of the first over that of the second, NaN left out."""
    import numpy as np

    known = ~np.isnan(figures)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.nansum(figures, axis=-2) / known.sum(-2)
        quotient: np.ndarray = means[..., 0] / means[..., 1]
    return quotient


def _ends(values: np.ndarray) -> list[float | None]:
    """The middle 95 % of values."""
    import numpy as np

    return [_rounded(value) for value in np.percentile(values, (2.5, 97.5))]


def _rounded(value: Any) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None
