"""A way's boundaries beside chance and fixed windows, over the documents of a set.

Chance has the way's own events in another order; fixed windows are as many events of one size.
Every measure is a quotient of two means over documents, so that one rule serves them all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from memagent.bench.segments.baselines import fixed, shuffled
from memagent.bench.segments.items import Document
from memagent.bench.segments.score import cohesion, pk, precision_recall_f1, window_diff

if TYPE_CHECKING:
    import numpy as np

__all__ = ["DRAWS", "MEASURES", "Judge"]

DRAWS, RESAMPLES = 100, 1000
MEASURES = (
    "precision",
    "recall",
    "f1",
    "near precision",
    "near recall",
    "near f1",
    "pk",
    "window diff",
    "similarity inside over between",
)


@dataclass(slots=True)
class Judge:
    """Gathers the figures of one way, document by document.

    `own` and `level` hold [measures, 2] a document, `chance` [DRAWS, measures, 2]: a numerator
    and a denominator each.
    """

    tolerance: int
    source: np.random.Generator
    own: list[np.ndarray] = field(default_factory=list)
    level: list[np.ndarray] = field(default_factory=list)
    chance: list[np.ndarray] = field(default_factory=list)
    units: int = 0
    events: int = 0

    def add(self, document: Document, prefix: np.ndarray, boundaries: Sequence[int]) -> None:
        """Judge the boundaries of a document; `prefix` as `cohesion` takes it."""
        import numpy as np

        count = len(document.units)
        drawn = [shuffled(boundaries, count, self.source) for _ in range(DRAWS)]
        self.own.append(self._score(document, prefix, boundaries))
        self.level.append(self._score(document, prefix, fixed(len(boundaries), count)))
        self.chance.append(np.stack([self._score(document, prefix, draw) for draw in drawn]))
        self.units += count
        self.events += len(boundaries) + 1

    def rows(self) -> list[dict[str, Any]]:
        """For each measure the way's figure, those of chance and of fixed windows, the gains.

        A figure is null where nothing can be said: an interval of one document, a mean of nothing.
        """
        import numpy as np

        own, level, chance = np.stack(self.own), np.stack(self.level), np.stack(self.chance)
        picks = self.source.integers(0, len(own), (RESAMPLES, len(own)))
        found = []
        for place, measure in enumerate(MEASURES):
            mine, even, random = own[:, place], level[:, place], chance[:, :, place]
            row: dict[str, Any] = {
                "measure": measure,
                "documents": len(own),
                "units per event": round(self.units / self.events, 2),
                "measured": _rounded(_quotient(mine)),
            }
            expected = random.mean(1)
            draws = _quotient(random.swapaxes(0, 1))
            row["random"] = _rounded(_quotient(expected))
            row["random 95 %"] = _ends(draws)
            row["fixed"] = _rounded(_quotient(even))
            for name, other in (("random", expected), ("fixed", even)):
                gain = _quotient(mine) - _quotient(other)
                row[f"over {name}"] = _rounded(gain)
                gains = _quotient(mine[picks]) - _quotient(other[picks])
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
