"""Fewer questions of a set, evenly spread over it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["thinned"]

T = TypeVar("T")


def thinned(items: Sequence[T], limit: int | None) -> Sequence[T]:
    """Every n-th item, so that no more than `limit` remain; all without a limit."""
    return items[:: max(1, -(-len(items) // limit))] if limit else items
