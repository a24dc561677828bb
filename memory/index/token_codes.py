"""Token vectors compressed to eight bytes each, and their similarity to a question's tokens.

Late interaction matches each token of the question with the nearest token of a text (ColBERT,
arXiv:2004.12832). A token's vector is rotated, reduced in dimension and encoded, part by part, as
the nearest of 256 centroids (product quantisation, Jégou et al., TPAMI 2011; optimised, Ge et al.,
CVPR 2013). Function words and punctuation are skipped.

The file of codebooks is made by `memagent_bench.training.token_codes`.
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
    """The projection and codebooks of one embedder.

    `mean` [dim] and `rotation` [dim, short] project a token's vector to the space of `centres`
    [parts, 256, short / parts]; `content` [vocabulary] marks the tokens that are encoded.
    """

    mean: np.ndarray
    rotation: np.ndarray
    centres: np.ndarray
    content: np.ndarray

    @classmethod
    def load(cls, embedder: str, path: Path = FILE) -> TokenCodes | None:
        """The codebooks of the embedder with this id, or None if the file is for another."""
        import numpy as np
        from safetensors import safe_open
        from safetensors.numpy import load_file

        with safe_open(path, framework="numpy") as file:
            if file.metadata()["embedder"] != embedder:
                return None
        tensors = load_file(path)
        content = tensors.pop("content").astype(bool)
        return cls(**{name: t.astype(np.float32) for name, t in tensors.items()}, content=content)

    def project(self, ids: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """The projected unit vectors, float32 [m, short], of the content tokens among n tokens."""
        import numpy as np

        projected = (vectors[self.content[ids]] - self.mean) @ self.rotation
        norms = np.linalg.norm(projected, axis=1, keepdims=True)
        found: np.ndarray = projected / np.maximum(norms, 1e-9)
        return found

    def pack(self, ids: np.ndarray, vectors: np.ndarray) -> bytes:
        """The codes of the content tokens, with one byte per part and token."""
        import numpy as np

        projected = self.project(ids, vectors)
        parts, _, width = self.centres.shape
        codes = np.empty((len(projected), parts), dtype=np.uint8)
        for part, centres in enumerate(self.centres):
            own = projected[:, part * width : (part + 1) * width]
            codes[:, part] = ((centres * centres).sum(1) - 2 * own @ centres.T).argmin(1)
        return codes.tobytes()

    def max_similarity(self, asked: np.ndarray, packed: Sequence[bytes | None]) -> np.ndarray:
        """The highest inner product of each question token with the tokens of each text.

        `asked` is float32 [q, short]; returns float32 [q, n], with nan for texts without codes.
        """
        import numpy as np

        parts, _, width = self.centres.shape
        found = np.full((len(asked), len(packed)), np.nan, dtype=np.float32)
        known = [place for place, codes in enumerate(packed) if codes]
        if not known or not len(asked):
            return found
        joined = b"".join(packed[place] or b"" for place in known)
        codes = np.frombuffer(joined, dtype=np.uint8).reshape(-1, parts)
        # Products are computed once per centroid and looked up for each token.
        scores = np.zeros((len(asked), len(codes)), dtype=np.float32)
        for part, centres in enumerate(self.centres):
            products = asked[:, part * width : (part + 1) * width] @ centres.T
            scores += products[:, codes[:, part]]
        lengths = np.array([len(packed[place] or b"") // parts for place in known])
        starts = np.concatenate(([0], lengths.cumsum()[:-1]))
        found[:, known] = np.maximum.reduceat(scores, starts, axis=1)
        return found
