"""Blocks by the key of the landmark token that closes them, each kv head for itself.

Source: "Landmark Attention: Random-Access Infinite Context Length for Transformers",
arXiv:2305.16300.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from memagent.streaming.selectors.base import Far, PageSelector

__all__ = ["Landmark"]


@dataclass(frozen=True)
class Landmark(PageSelector):
    """Scores a block by its landmark, the last slot of the page."""

    needs: ClassVar[frozenset[str]] = frozenset({"last"})

    def score(self, far: Far, q: Tensor, seen: Tensor) -> Tensor:
        """[B, Hkv, pages]."""
        return far.share(q, seen, mean=far.summaries["last"])
