"""The interface of everything that turns text into vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

    from memagent.memory.index.embedder import Reading

__all__ = ["Encoder"]


class Encoder(Protocol):
    """Turns texts into unit vectors. `Embedder` and `FakeEmbedder` are the two that ship."""

    @property
    def name(self) -> str:
        """The name under which settings choose it."""

    @property
    def id(self) -> str:
        """Identifies the vectors; fit for file names. Different vectors never share one."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of `texts`: float32 [len(texts), dim], each of length 1."""

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """The vectors of `texts`, with those of their tokens."""
