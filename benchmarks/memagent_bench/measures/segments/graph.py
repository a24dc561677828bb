"""Check refinement by prefix sums against the full similarity graph.

The graph is the reference implementation here and in the tests; the product never builds one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from memagent.memory.segmentation.refine import best_cut
from memagent_bench.report import CheckError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["check", "cumulated_modularity", "graph_modularity", "timed", "windows"]

TIMED, DIM, ROUNDS = 512, 384, 21


def graph_modularity(keys: np.ndarray) -> np.ndarray:
    """Newman's modularity of each cut t = 0..n of keys [n, d], into tokens before t and the rest.

    By definition (Newman, PNAS 2006): the sum, over pairs of tokens on the same side of the cut, of
    the graph A = K Kᵀ minus its expectation given the degrees.
    """
    import numpy as np

    gain, total = _gain(keys)
    place = np.arange(len(keys))
    sides = (place >= cut for cut in range(len(keys) + 1))
    return np.array([gain[side[:, None] == side].sum() for side in sides]) / total


def cumulated_modularity(keys: np.ndarray) -> np.ndarray:
    """The same from cumulative sums over the cuts: the fastest version with the graph."""
    import numpy as np

    gain, total = _gain(keys)
    before = np.concatenate(([0.0], gain.cumsum(0).cumsum(1).diagonal()))
    # Rows of the gain sum to zero, so both sides of a cut have the same sum.
    cumulated: np.ndarray = 2 * before / total
    return cumulated


def _gain(keys: np.ndarray) -> tuple[np.ndarray, float]:
    import numpy as np

    graph = keys @ keys.T
    degree, total = graph.sum(1), graph.sum()
    return graph - np.outer(degree, degree) / total, float(total)


def windows(count: int) -> Iterator[np.ndarray]:
    """Windows of 2 to 300 keys [n, 16]: a third with one topic, the others with two."""
    import numpy as np

    source = np.random.default_rng(5)
    for number in range(count):
        size = number + 2 if number < 40 else int(source.integers(42, 301 if number < 80 else 140))
        keys = source.normal(size=(size, 16))
        if number % 3:
            cut = int(source.integers(0, size + 1))
            topics = source.normal(size=(2, 16)) * (number % 3)
            keys += np.where(np.arange(size)[:, None] < cut, topics[0], topics[1])
        yield keys


def check(count: int) -> None:
    """Raise CheckError if the best cut of a window is not its graph's, up to rounding."""
    import numpy as np

    for number, keys in enumerate(windows(count)):
        wanted = graph_modularity(keys)
        cut = best_cut(keys, number % (len(keys) - 1) + 1)
        best = wanted[1:-1].max()
        if not 0 < cut < len(keys) or wanted[cut] < best - 1e-9 * max(1, np.abs(wanted).max()):
            raise CheckError(
                f"window {number} of {len(keys)} keys is cut at {cut}, where the modularity of "
                f"its graph is {wanted[cut]:.9g}, not {best:.9g}"
            )


def timed() -> dict[str, Any]:
    """Milliseconds to find the best cut of a window, the median of several rounds per method.

    All rounds of a method run together, so that the graph's use of caches and memory does not slow
    down the others.
    """
    import numpy as np

    keys = np.random.default_rng(7).normal(size=(TIMED, DIM)) + 0.1
    ways: dict[str, Callable[[], object]] = {
        "prefix sums": lambda: best_cut(keys, TIMED // 2),
        "graph": lambda: graph_modularity(keys).argmax(),
        "graph, cumulated": lambda: cumulated_modularity(keys).argmax(),
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for way, find in ways.items():
        for _ in range(ROUNDS):
            began = time.perf_counter()
            find()
            taken[way].append((time.perf_counter() - began) * 1000)
    medians = {f"{way} ms": round(sorted(each)[ROUNDS // 2], 3) for way, each in taken.items()}
    return {"measure": "time", "tokens": TIMED, "dimensions": DIM, **medians}
