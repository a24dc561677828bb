"""Blocks by the key of the landmark token that closes them, each kv head for itself.

Source: "Landmark Attention: Random-Access Infinite Context Length for Transformers",
arXiv:2305.16300.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from memagent.kernels.api import score_pages
from memagent.streaming.selectors.base import Far, PageSelector

__all__ = ["Landmark"]


@dataclass(frozen=True)
class Landmark(PageSelector):
    """Scores a block by its landmark, the last slot of the page."""

    needs: ClassVar[frozenset[str]] = frozenset({"last"})

    def score(self, far: Far, q: Tensor) -> Tensor:
        """[B, Hkv, pages]."""
        return far.whole(score_pages(far.turned(q), far.summaries["last"]))
