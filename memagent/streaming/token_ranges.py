"""Ranges of tokens in a stream's history."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["TokenRange", "merge_ranges"]

TokenRange = tuple[int, int]
"""First token and end of a range [start, end)."""


def merge_ranges(ranges: Iterable[TokenRange]) -> list[TokenRange]:
    """The same tokens as ascending ranges that neither overlap nor touch."""
    merged: list[TokenRange] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged
