"""Evidence coverage: the share of the evidence for a question that was recalled within a budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from memagent_bench.data.items import Asked

__all__ = ["BUDGETS", "coverage", "filled"]

BUDGETS = (500, 1000, 2000, 4000, 7000)


def filled(order: Iterable[int], costs: Sequence[int], budget: int) -> list[int]:
    """The items that fit the budget, best first, skipping those that do not fit."""
    found = []
    for number in order:
        if costs[number] <= budget:
            found.append(number)
            budget -= costs[number]
    return found


def coverage(asked: Asked, recalled: Mapping[int, float]) -> float:
    """Mean recalled share of the turns of evidence."""
    return sum(recalled.get(number, 0.0) for number in asked.gold) / len(asked.gold)
