"""How close boundaries are to the marked ones, and how similar the text within events is.

Boundaries are unit numbers as in `Document`, ascending. Knows nothing of texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memagent_bench.data.items import sizes_of

if TYPE_CHECKING:
    import numpy as np

__all__ = ["cohesion", "pk", "precision_recall_f1", "window_diff"]


def precision_recall_f1(
    boundaries: Sequence[int], gold: Sequence[int], tolerance: int = 0
) -> tuple[float, float, float]:
    """Shares (0..1) of boundaries that are correct and of gold ones that are found, and their F1.

    A boundary is correct if it is at most `tolerance` units from a gold one; each counts once.
    """
    hits = _pairs(boundaries, gold, tolerance)
    precision = hits / max(len(boundaries), 1)
    recall = hits / max(len(gold), 1)
    return precision, recall, 2 * hits / max(len(boundaries) + len(gold), 1)


def _pairs(boundaries: Sequence[int], gold: Sequence[int], tolerance: int) -> int:
    """The maximum number of pairs of a boundary and a gold one near it, each used at most once."""
    count = here = there = 0
    while here < len(boundaries) and there < len(gold):
        apart = boundaries[here] - gold[there]
        if abs(apart) <= tolerance:
            count, here, there = count + 1, here + 1, there + 1
        elif apart < 0:
            here += 1
        else:
            there += 1
    return count


def pk(boundaries: Sequence[int], gold: Sequence[int], count: int) -> float:
    """P_k of Beeferman, Berger and Lafferty (1999): an error, 0..1, over `count` units.

    The share of pairs of units, half a mean gold event apart, that only one of the two
    segmentations puts in the same event.
    """
    ours, theirs = _between(boundaries, gold, count)
    return float(((ours == 0) != (theirs == 0)).mean())


def window_diff(boundaries: Sequence[int], gold: Sequence[int], count: int) -> float:
    """WindowDiff of Pevzner and Hearst (2002): an error, 0..1, over `count` units.

    Like P_k, but the number of boundaries between the two units must agree.
    """
    ours, theirs = _between(boundaries, gold, count)
    return float((ours != theirs).mean())


def _between(
    boundaries: Sequence[int], gold: Sequence[int], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The number of boundaries between units k apart in both segmentations: two arrays [count - k].

    k is half the mean size of the gold events, at least 1.
    """
    import numpy as np

    k = max(1, round(count / (len(gold) + 1) / 2))
    passed = np.zeros((2, count), dtype=np.int64)
    passed[0, list(boundaries)] = 1
    passed[1, list(gold)] = 1
    passed = passed.cumsum(1)
    between = passed[:, k:] - passed[:, :-k]
    return between[0], between[1]


def cohesion(prefix: np.ndarray, boundaries: Sequence[int]) -> tuple[float, float]:
    """Mean similarity of two units of the same event, and of two units of adjacent events.

    `prefix` [units + 1, d] holds the sums of the unit vectors before each unit, so sums over events
    give the sums over all pairs. NaN if there is no such pair. The ratio of the two is that of
    EM-LLM (arXiv:2407.09450), for units instead of tokens.
    """
    import numpy as np

    ends = [0, *boundaries, len(prefix) - 1]
    sums = np.diff(prefix[ends], axis=0)
    sizes = np.array(sizes_of(boundaries, len(prefix) - 1))
    inside = (sums * sums).sum() - sizes.sum(), (sizes * (sizes - 1)).sum()
    between = (sums[:-1] * sums[1:]).sum(), (sizes[:-1] * sizes[1:]).sum()
    return _mean(*inside), _mean(*between)


def _mean(total: float, pairs: int) -> float:
    return float(total / pairs) if pairs else float("nan")
