"""The interface of embedders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

    from memagent.memory.index.embedder import Reading

__all__ = ["Encoder"]


class Encoder(Protocol):
    """Embeds texts as unit vectors. Implemented by `Embedder` and `FakeEmbedder`."""

    @property
    def name(self) -> str:
        """The name that selects this encoder in the settings."""

    @property
    def id(self) -> str:
        """Identifies the vectors, is unique to the encoder and is safe in file names."""

    @property
    def dim(self) -> int:
        """The dimension of the vectors."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """The unit vectors of `texts`: float32 [len(texts), dim]."""

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """The vectors of `texts` with the vectors of their tokens."""
