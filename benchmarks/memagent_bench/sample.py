"""An evenly spaced sample of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["thinned"]

T = TypeVar("T")


def thinned(items: Sequence[T], limit: int | None) -> Sequence[T]:
    """Every n-th item, with n chosen to keep at most `limit`; all items if `limit` is None."""
    return items[:: max(1, -(-len(items) // limit))] if limit else items
