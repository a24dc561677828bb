"""The filter that the options --source, --since, --until and --as-of describe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memagent.memory.events import Filter, end_of, moment

if TYPE_CHECKING:
    from memagent.memory.namespace import Namespace

__all__ = ["build_filter", "end_of", "moment"]


def build_filter(
    memory: Namespace,
    names: Sequence[str] | None,
    since: str | None,
    until: str | None,
    as_of: str | None = None,
) -> Filter:
    """The filter with names resolved to ids; NotFoundError for an unknown source."""
    return memory.resolve(Filter(since, until, names or (), as_of))
