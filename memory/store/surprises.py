"""The surprise of spans in the store: scored once, read back without the model.

It tells of the text, so it goes with it: triggers of the schema delete it in the transaction in
which a span is overwritten or taken back, or its document superseded. Knows nothing of models.
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

_STEPS = 64  # of a nat; coarser ones begin events elsewhere, float16 takes a quarter more room


class Surprises:
    """The surprise of spans, per scorer."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def cut(
        self, spans: Sequence[Mapping[str, Any]], segmenter: Segmenter
    ) -> list[list[tuple[int, int]]]:
        """The events of each span, by its surprise if the segmenter asks for it.

        What was never scored is, and is stored in one transaction for all the spans.
        """
        new: list[tuple[int, str, str, bytes]] = []
        cuts = [segmenter.cut(span["text"], self._score(span["id"], new)) for span in spans]
        if new:
            with self.store.write() as db:
                for span_id, text, scorer, packed in new:
                    # Scoring took a while: what was forgotten or taken back meanwhile is left out.
                    db.execute(
                        """INSERT OR REPLACE INTO surprises (span_id, scorer, packed)
                           SELECT s.id, ?, ? FROM spans s JOIN sources src ON src.id = s.source_id
                           WHERE s.id = ? AND s.text = ? AND s.withdrawn IS NULL
                                 AND src.superseded IS NULL""",
                        [scorer, packed, span_id, text],
                    )
        return cuts

    def get(self, span_id: int, scorer: str) -> Surprise | None:
        """The surprise of a span by a scorer, if it is stored and whole."""
        row = self.store.row(
            "SELECT packed FROM surprises WHERE span_id = ? AND scorer = ?", span_id, scorer
        )
        return unpack(row["packed"]) if row else None

    def _score(self, span_id: int, new: list[tuple[int, str, str, bytes]]) -> Score:
        """Reads the surprise of a span back, or scores it and adds it to `new`."""

        def stored_or_new(scorer: Scorer, text: str) -> Surprise:
            found = self.get(span_id, scorer.id)
            if found is None:
                # The same figures now as when they are read back: they make the same events.
                packed = pack(score(scorer, text))
                new.append((span_id, text, scorer.id, packed))
                found = unpack(packed)
                assert found is not None
            return found

        return stored_or_new


def pack(surprise: Surprise) -> bytes:
    """How far each token begins behind the one before, its length and its nats in steps of 1/64,
    as 32-bit numbers whose bytes of the same weight stand together, compressed."""
    import numpy as np

    starts, ends = surprise.offsets.T
    steps = np.minimum(np.rint(surprise.nats.astype(np.float64) * _STEPS), 2**32 - 1)
    numbers = np.stack((np.diff(starts, prepend=0), ends - starts, steps)).astype("<u4")
    return zlib.compress(numbers.reshape(-1, 1).view(np.uint8).T.tobytes(), 9)


def unpack(packed: bytes) -> Surprise | None:
    """What `pack` packed; None if it is damaged."""
    import numpy as np

    try:
        flat = np.frombuffer(zlib.decompress(packed), dtype=np.uint8)
    except zlib.error:
        return None
    numbers = np.ascontiguousarray(flat.reshape(4, -1).T).view("<u4").reshape(3, -1)
    starts = numbers[0].cumsum(dtype=np.int64)
    offsets: np.ndarray = np.stack((starts, starts + numbers[1]), 1)
    return Surprise(offsets, (numbers[2] / _STEPS).astype(np.float32))
