"""How far the gain of one way over another on the same questions may be chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

__all__ = ["paired_gain"]

_DRAWS, _SEED = 2000, 5


def paired_gain(values: np.ndarray, own: np.ndarray) -> tuple[float, float, float]:
    """The mean of `values` [questions] over that of `own`, and the ends of its 95 % interval.

    The interval is by paired bootstrap over questions ("Bootstrap Methods: Another Look at the
    Jackknife", Efron, Annals of Statistics 1979).
    """
    import numpy as np

    gain = values - own
    draws = np.random.default_rng(_SEED).integers(0, len(gain), (_DRAWS, len(gain)))
    low, high = np.percentile(gain[draws].mean(1), [2.5, 97.5])
    return round(float(gain.mean()), 4), round(float(low), 4), round(float(high), 4)
