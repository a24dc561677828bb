"""The stored surprise along a source, with the thresholds that determined its events."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memagent.memory.segmentation.sentences import short_sentences
from memagent.memory.segmentation.surprising import SurprisingSentences
from memagent.memory.store.events import Events
from memagent.types import Event

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Profile", "Stretch", "profile"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A sentence at [start, end) of a source, with its surprise and threshold in nats, if known."""

    start: int
    end: int
    text: str
    surprise: float | None
    threshold: float | None


@dataclass(frozen=True, slots=True)
class Profile:
    """The sentences, events and tokens of a range of a source, in order.

    `places` (int64 [n]) are the starts of the tokens and `nats` (float32 [n]) their surprise. The
    surprise of a sentence is the mean over its first `head` tokens.
    """

    sentences: tuple[Stretch, ...]
    events: tuple[Event, ...]
    places: np.ndarray
    nats: np.ndarray
    head: int


def profile(events: Events, source_id: int, start: int, end: int) -> Profile:
    """The profile of all sentences and events that overlap [start, end) of a source."""
    import numpy as np

    sentences: list[Stretch] = []
    places, nats = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.float32)]
    head = SurprisingSentences.head
    for span in events.store.rows(
        """SELECT id, start, text, segmenter FROM spans
           WHERE source_id = ? AND "end" > ? AND start < ? ORDER BY ordinal""",
        source_id,
        start,
        end,
    ):
        offset, text = span["start"], span["text"]
        rule = SurprisingSentences.recorded(span["segmenter"] or "")
        found = events.surprises.get(span["id"], rule.scorer.id) if rule else None
        if rule is None or found is None:
            most = rule.most if rule else SurprisingSentences.most
            sentences += (
                Stretch(offset + a, offset + b, text[a:b], None, None)
                for a, b, _ in short_sentences(text, most)
            )
            continue
        head = rule.head
        for one in rule.judged(text, found):
            threshold = one.threshold if math.isfinite(one.threshold) else None
            place = offset + one.start, offset + one.end
            sentences.append(Stretch(*place, text[one.start : one.end], one.nats, threshold))
        places.append(offset + found.offsets[:, 0])
        nats.append(found.nats)
    where = np.concatenate(places)
    inside = (where >= start) & (where < end)
    return Profile(
        tuple(one for one in sentences if one.end > start and one.start < end),
        tuple(one for one in events.of(source_id) if one.end > start and one.start < end),
        where[inside],
        np.concatenate(nats)[inside],
        head,
    )
