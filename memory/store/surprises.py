"""The surprise of spans, stored so that it can be reused without the model.

Because it reveals the text, database triggers delete it in the transaction in which its span is
overwritten or withdrawn or its document is superseded.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from memagent.memory.segmentation.scorer import Score, Scorer, Surprise, score
from memagent.memory.segmentation.sentences import Segmenter
from memagent.memory.store.database import Store

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Surprises", "pack", "unpack"]

_STEPS = 64  # per nat: fewer would move event boundaries, and float16 takes a quarter more space


class Surprises:
    """The stored surprise of spans, by scorer."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def cut(
        self, spans: Sequence[Mapping[str, Any]], segmenter: Segmenter
    ) -> list[list[tuple[int, int]]]:
        """The character ranges of the events of each span.

        If the segmenter needs surprise that is not stored, the span is scored. New surprise is
        stored in one transaction for all spans.
        """
        new: list[tuple[int, str, str, bytes]] = []
        cuts = [segmenter.cut(span["text"], self._score(span["id"], new)) for span in spans]
        if new:
            with self.store.write() as db:
                for span_id, text, scorer, packed in new:
                    # Skip spans that were changed or withdrawn while scoring.
                    db.execute(
                        """INSERT OR REPLACE INTO surprises (span_id, scorer, packed)
                           SELECT s.id, ?, ? FROM spans s JOIN sources src ON src.id = s.source_id
                           WHERE s.id = ? AND s.text = ? AND s.withdrawn IS NULL
                                 AND src.superseded IS NULL""",
                        [scorer, packed, span_id, text],
                    )
        return cuts

    def get(self, span_id: int, scorer: str) -> Surprise | None:
        """The stored surprise of a span by a scorer; None if it is missing or damaged."""
        row = self.store.row(
            "SELECT packed FROM surprises WHERE span_id = ? AND scorer = ?", span_id, scorer
        )
        return unpack(row["packed"]) if row else None

    def _score(self, span_id: int, new: list[tuple[int, str, str, bytes]]) -> Score:
        """A function that reads the surprise of a span, or computes it and appends it to `new`."""

        def stored_or_new(scorer: Scorer, text: str) -> Surprise:
            found = self.get(span_id, scorer.id)
            if found is None:
                # Use the rounded values now, so that stored ones give the same events later.
                packed = pack(score(scorer, text))
                new.append((span_id, text, scorer.id, packed))
                found = unpack(packed)
                assert found is not None
            return found

        return stored_or_new


def pack(surprise: Surprise) -> bytes:
    """Compress surprise for storage.

    Each token has three 32-bit numbers: the distance of its start from the previous one, its length
    and its nats in steps of 1/64. Bytes of equal significance are grouped for better compression.
    """
    import numpy as np

    starts, ends = surprise.offsets.T
    steps = np.minimum(np.rint(surprise.nats.astype(np.float64) * _STEPS), 2**32 - 1)
    numbers = np.stack((np.diff(starts, prepend=0), ends - starts, steps)).astype("<u4")
    return zlib.compress(numbers.reshape(-1, 1).view(np.uint8).T.tobytes(), 9)


def unpack(packed: bytes) -> Surprise | None:
    """The inverse of `pack`; None if the data is damaged."""
    import numpy as np

    try:
        flat = np.frombuffer(zlib.decompress(packed), dtype=np.uint8)
    except zlib.error:
        return None
    numbers = np.ascontiguousarray(flat.reshape(4, -1).T).view("<u4").reshape(3, -1)
    starts = numbers[0].cumsum(dtype=np.int64)
    offsets: np.ndarray = np.stack((starts, starts + numbers[1]), 1)
    return Surprise(offsets, (numbers[2] / _STEPS).astype(np.float32))
