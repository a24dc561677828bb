"""The selectors by name."""

from __future__ import annotations

from collections.abc import Callable

from memagent.streaming.selectors.base import Selector
from memagent.streaming.selectors.landmark import Landmark
from memagent.streaming.selectors.mean import Mean
from memagent.streaming.selectors.minmax import MinMax
from memagent.streaming.selectors.oracle import Oracle
from memagent.streaming.selectors.per_head import PerHead
from memagent.streaming.selectors.recent import Recent
from memagent.streaming.selectors.representative import Representative

__all__ = ["SELECTORS"]

SELECTORS: dict[str, Callable[[], Selector]] = {
    "landmark": Landmark,
    "mean": Mean,
    "minmax": MinMax,
    "oracle": Oracle,
    "per_head": PerHead,
    "recent": Recent,
    "representative": Representative,
}
