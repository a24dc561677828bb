"""A question as both channels look for it: its words and its vector, made once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memagent.memory.recall.dates import Days

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Query"]


@dataclass(frozen=True, slots=True)
class Query:
    """`words` are those worth looking for, `vector` is float32 [dim], none of a blank text, and
    `days` are those it names."""

    text: str
    words: Sequence[str]
    vector: np.ndarray | None
    days: Sequence[Days]
