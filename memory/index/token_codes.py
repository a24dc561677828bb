"""Vectors of single tokens in eight bytes each, and how well they meet a question's.

Late interaction: each token of the question looks for the token of a text that is nearest to it
(ColBERT, arXiv:2004.12832). A token's vector is turned and shortened, then told by the nearest of
256 centres in each of its parts (product quantisation, Jégou et al., TPAMI 2011; optimised, Ge et
al., CVPR 2013). Tokens without content (function words, marks) are left out.

Knows nothing of stores. `memagent_bench.training.token_codes` made the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

__all__ = ["FILE", "TokenCodes"]

FILE = Path(__file__).with_name("token_codes.safetensors")


@dataclass(frozen=True, slots=True)
class TokenCodes:
    """`mean` [dim] and `turn` [dim, short] bring a token's vector into the space of the centres
    [part, 256, short / part]; `content` [vocabulary] says which tokens count."""

    mean: np.ndarray
    turn: np.ndarray
    centres: np.ndarray
    content: np.ndarray

    @classmethod
    def load(cls, embedder: str, path: Path = FILE) -> TokenCodes | None:
        """Those made for the embedder of this identity, or None."""
        import numpy as np
        from safetensors import safe_open
        from safetensors.numpy import load_file

        with safe_open(path, framework="numpy") as file:
            if file.metadata()["embedder"] != embedder:
                return None
        tensors = load_file(path)
        content = tensors.pop("content").astype(bool)
        return cls(**{name: t.astype(np.float32) for name, t in tensors.items()}, content=content)

    def short(self, ids: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """The tokens of content among ids [n] with vectors [n, dim], float32 [m, short], each of
        length 1."""
        import numpy as np

        turned = (vectors[self.content[ids]] - self.mean) @ self.turn
        norms = np.linalg.norm(turned, axis=1, keepdims=True)
        found: np.ndarray = turned / np.maximum(norms, 1e-9)
        return found

    def pack(self, ids: np.ndarray, vectors: np.ndarray) -> bytes:
        """One byte a part for each token of content."""
        import numpy as np

        turned = self.short(ids, vectors)
        parts, _, width = self.centres.shape
        codes = np.empty((len(turned), parts), dtype=np.uint8)
        for part, centres in enumerate(self.centres):
            own = turned[:, part * width : (part + 1) * width]
            codes[:, part] = ((centres * centres).sum(1) - 2 * own @ centres.T).argmin(1)
        return codes.tobytes()

    def met(self, asked: np.ndarray, packed: Sequence[bytes | None]) -> np.ndarray:
        """For each token of the question (float32 [q, short]) and text the inner product with the
        token that is nearest to it, float32 [q, n]; nan where nothing is known of a text."""
        import numpy as np

        parts, _, width = self.centres.shape
        found = np.full((len(asked), len(packed)), np.nan, dtype=np.float32)
        known = [place for place, codes in enumerate(packed) if codes]
        if not known or not len(asked):
            return found
        joined = b"".join(packed[place] or b"" for place in known)
        codes = np.frombuffer(joined, dtype=np.uint8).reshape(-1, parts)
        # The products with all centres of a part are looked up, not computed, for each token.
        scores = np.zeros((len(asked), len(codes)), dtype=np.float32)
        for part, centres in enumerate(self.centres):
            products = asked[:, part * width : (part + 1) * width] @ centres.T
            scores += products[:, codes[:, part]]
        lengths = np.array([len(packed[place] or b"") // parts for place in known])
        starts = np.concatenate(([0], lengths.cumsum()[:-1]))
        found[:, known] = np.maximum.reduceat(scores, starts, axis=1)
        return found
