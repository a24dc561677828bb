"""Evidence coverage: the share of what answers a question that was recalled for so many tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from memagent_bench.data.items import Asked

__all__ = ["BUDGETS", "coverage", "filled"]

BUDGETS = (500, 1000, 2000, 4000, 7000)


def filled(order: Iterable[int], costs: Sequence[int], budget: int) -> list[int]:
    """Those that are taken, best first, as long as they fit; one that does not is passed over."""
    found = []
    for number in order:
        if costs[number] <= budget:
            found.append(number)
            budget -= costs[number]
    return found


def coverage(asked: Asked, recalled: Mapping[int, float]) -> float:
    """Mean over the turns of evidence of the share of each that was recalled."""
    return sum(recalled.get(number, 0.0) for number in asked.gold) / len(asked.gold)
