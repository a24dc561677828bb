"""Confidence intervals for means, and for the gain of one method over another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

__all__ = ["mean_interval", "paired_gain"]

_RESAMPLES, _SEED = 2000, 5


def paired_gain(values: np.ndarray, baseline: np.ndarray) -> tuple[float, float, float]:
    """The mean of `values` [questions] minus `baseline`, and the ends of its 95 % interval.

    The questions stay paired.
    """
    return mean_interval(values - baseline)


def mean_interval(values: np.ndarray | Sequence[float]) -> tuple[float, float, float]:
    """The mean of `values` [questions], and the ends of its 95 % interval.

    The interval is a percentile bootstrap over questions ("Bootstrap Methods: Another Look at the
    Jackknife", Efron, Annals of Statistics 1979).
    """
    import numpy as np
    from scipy import stats

    each = np.asarray(values, dtype=float)
    if len(each) < 2:
        mean = round(float(each.mean()), 4)
        return mean, mean, mean
    rng = np.random.default_rng(_SEED)
    found = stats.bootstrap(
        (each,), np.mean, n_resamples=_RESAMPLES, method="percentile", rng=rng
    ).confidence_interval
    return round(float(each.mean()), 4), round(float(found.low), 4), round(float(found.high), 4)
