"""Confidence intervals for the gain of one method over another on the same questions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

__all__ = ["paired_gain"]

_RESAMPLES, _SEED = 2000, 5


def paired_gain(values: np.ndarray, baseline: np.ndarray) -> tuple[float, float, float]:
    """The mean of `values` [questions] minus `baseline`, and the ends of its 95 % interval.

    The interval is a percentile bootstrap over questions, which stay paired ("Bootstrap Methods:
    Another Look at the Jackknife", Efron, Annals of Statistics 1979).
    """
    import numpy as np
    from scipy import stats

    gain = values - baseline
    rng = np.random.default_rng(_SEED)
    found = stats.bootstrap(
        (gain,), np.mean, n_resamples=_RESAMPLES, method="percentile", rng=rng
    ).confidence_interval
    return round(float(gain.mean()), 4), round(float(found.low), 4), round(float(found.high), 4)
