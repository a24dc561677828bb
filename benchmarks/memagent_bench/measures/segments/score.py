"""How near boundaries are to the marked ones, and how much alike what they enclose is.

Boundaries are numbers of units as `Document` has them, ascending. Knows nothing of texts.
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
    """Shares (0..1) of the boundaries that are gold, of the gold ones found, and their F1.

    A boundary is gold, once, up to `tolerance` units away from one.
    """
    hits = _pairs(boundaries, gold, tolerance)
    precision = hits / max(len(boundaries), 1)
    recall = hits / max(len(gold), 1)
    return precision, recall, 2 * hits / max(len(boundaries) + len(gold), 1)


def _pairs(boundaries: Sequence[int], gold: Sequence[int], tolerance: int) -> int:
    """The most pairs of a boundary and a gold one near it, each in one pair at most."""
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

    The share of pairs of units half a mean gold event apart that only one of the two
    segmentations puts into the same event.
    """
    ours, theirs = _between(boundaries, gold, count)
    return float(((ours == 0) != (theirs == 0)).mean())


def window_diff(boundaries: Sequence[int], gold: Sequence[int], count: int) -> float:
    """WindowDiff of Pevzner and Hearst (2002): an error, 0..1, over `count` units.

    As P_k, but the number of boundaries between the two units has to agree.
    """
    ours, theirs = _between(boundaries, gold, count)
    return float((ours != theirs).mean())


def _between(
    boundaries: Sequence[int], gold: Sequence[int], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """For each pair of units k apart, how many boundaries lie between them, in both: [count - k].

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
    """Mean similarity of two units of one event, and of two units of adjoining events.

    `prefix` [units + 1, d] are the sums of the vectors before each unit; vectors of length 1, so
    that sums of events tell the sums over all pairs. NaN where there is no such pair. Their ratio
    is EM-LLM's (arXiv:2407.09450), of units for tokens.
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
