"""Reciprocal rank fusion of several rankings.

Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank
Learning Methods", SIGIR 2009.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["fuse"]


def fuse(rankings: Mapping[str, Sequence[int]], k: int = 20) -> list[tuple[int, float]]:
    """Ids with their fused score, best first; ties keep the order of the first ranking.

    Each ranking gives 1 / (k + rank) to an id at that rank (from 1). The paper's k is 60; 20
    weighs the top of each list more.
    """
    scores: dict[int, float] = {}
    for ranking in rankings.values():
        for rank, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + 1.0 / (k + rank)
    return sorted(scores.items(), key=lambda pair: -pair[1])
