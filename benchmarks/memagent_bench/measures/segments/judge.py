"""Compare the boundaries of a method with chance and with fixed windows, over a set of documents.

Chance shuffles the events of the method, keeping their sizes in units or in characters; fixed
windows are as many events of equal size. Every measure is a ratio of two means over documents, so
all of them are computed the same way.
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
    """Collects the figures of one method, document by document.

    For each document, `own` has an array [measures, 2] of numerators and denominators, and
    `others` has an array [draws, measures, 2] for each baseline.
    """

    tolerance: int
    source: np.random.Generator
    own: list[np.ndarray] = field(default_factory=list)
    others: dict[str, list[np.ndarray]] = field(default_factory=lambda: defaultdict(list))
    units: int = 0
    events: int = 0

    def add(self, document: Document, prefix: np.ndarray, boundaries: Sequence[int]) -> None:
        """Score the boundaries of a document; `prefix` as for `cohesion`."""
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
        """For each measure, the figures of the method and the baselines, and the gains over them.

        A figure is None where it is undefined: the interval of one document, the mean of nothing.
        """
        import numpy as np

        own = np.stack(self.own)
        others = {name: np.stack(each) for name, each in self.others.items()}
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
                row[f"over {name} 95 %"] = self._interval(mine, expected)
            found.append(row)
        return found

    def _interval(self, mine: np.ndarray, expected: np.ndarray) -> list[float | None] | None:
        """The 95 % interval of the gain by bootstrap over documents [documents, 2]."""
        import numpy as np
        from scipy import stats

        if len(mine) < 2:
            return None

        def gain(*columns: np.ndarray, axis: int = -1) -> np.ndarray:
            own, other = np.stack(columns[:2], -1), np.stack(columns[2:], -1)
            difference: np.ndarray = _quotient(own) - _quotient(other)
            return difference

        found = stats.bootstrap(
            (*mine.T, *expected.T),
            gain,
            paired=True,
            n_resamples=RESAMPLES,
            method="percentile",
            rng=self.source,
        ).confidence_interval
        return [_rounded(found.low), _rounded(found.high)]

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
    """Mean numerator over mean denominator of figures [..., documents, 2], ignoring NaN."""
    import numpy as np

    known = ~np.isnan(figures)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.nansum(figures, axis=-2) / known.sum(-2)
        quotient: np.ndarray = means[..., 0] / means[..., 1]
    return quotient


def _ends(values: np.ndarray) -> list[float | None]:
    """The central 95 % of values."""
    import numpy as np

    return [_rounded(value) for value in np.percentile(values, (2.5, 97.5))]


def _rounded(value: Any) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None
