"""Measure how fast text becomes memory: stored, scored, segmented, embedded and indexed.

No figures are reported unless the store has the text verbatim, the events contain every word of it
in order, and the index finds a sample of events by their own vectors.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from memagent.documents.ingest import ingest
from memagent.documents.open import open_document
from memagent.errors import InputError
from memagent.memory.index.embedder import Embedder
from memagent.memory.namespace import Namespace
from memagent.memory.segmentation.scorer import Surprise
from memagent.memory.segmentation.sentences import estimate_tokens
from memagent.memory.segmentation.surprising import SurprisingSentences
from memagent.memory.store.database import Store
from memagent.scorers.local import ModelSurprise
from memagent_bench.data.books import read_books
from memagent_bench.report import CheckError, Report, fail_on_warnings

if TYPE_CHECKING:
    import numpy as np

    from memagent.types import Source

__all__ = ["measure"]

WORDS = 100_000
_LOOKED_UP = 50


class _TimedScorer:
    """The product's scorer with a timer."""

    def __init__(self) -> None:
        self._inner = ModelSurprise()
        self.id = self._inner.id
        self.seconds = 0.0
        self.tokens = 0

    def score(self, texts: Sequence[str]) -> list[Surprise]:
        start = time.perf_counter()
        found = self._inner.score(texts)
        self.seconds += time.perf_counter() - start
        self.tokens += sum(len(one.nats) for one in found)
        return found


class _TimedEmbedder(Embedder):
    """The product's embedder with a timer."""

    seconds = 0.0

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        start = time.perf_counter()
        found = super().encode(texts)
        self.seconds += time.perf_counter() - start
        return found


@fail_on_warnings()
def measure(
    data: Path | None = None,
    *,
    limit: int = WORDS,
    tell: Callable[[str], None] = lambda line: None,
) -> Report:
    """Put the first `limit` words of `data` into a new store. Raises CheckError if a check fails.

    `data` is JSON Lines of {title, text}, optionally compressed with xz, or plain text. None means
    the language reference that every Python installation contains.
    """
    text, about = _text(data, limit)
    scorer, embedder = _TimedScorer(), _TimedEmbedder()
    with tempfile.TemporaryDirectory(prefix="memagent-bench-", dir=Path.cwd()) as folder:
        store = Store(Path(folder) / "memory.db")
        segmenter = SurprisingSentences(scorer)
        place = Path(folder) / "index"
        memory = Namespace(store, "default", embedder, place, segmenter)
        seconds = _run(memory, scorer, embedder, text, Path(folder), tell)
        events = _check(memory, text)
        memory.close()
        store.close()
    words, tokens = len(text.split()), estimate_tokens(text)
    total = sum(seconds.values())
    rows = [
        {
            "measure": "stages",
            "stage": stage,
            "seconds": round(spent, 4),
            "words_per_s": round(words / spent),
            "tokens_per_s": round(tokens / spent),
        }
        for stage, spent in seconds.items()
        if stage != "loading"
    ]
    metrics: dict[str, float] = {f"{stage}_s": round(spent, 4) for stage, spent in seconds.items()}
    metrics |= {
        "total_s": round(total, 2),
        "seconds@100000": _for_a_book(seconds, words),
        "words": words,
        "tokens": tokens,
        "events": events,
        "tokens_per_event": round(tokens / events, 1),
        "scored_tokens_per_s": round(scorer.tokens / scorer.seconds),
        "embedded_tokens_per_s": round(tokens / embedder.seconds),
    }
    return Report(
        "ingest",
        about,
        metrics,
        rows,
        (
            "tokens are estimated as 4 per 3 words; scored tokens are those of the pocket model",
            "loading: both models and the libraries they need, included in the total",
            "segmentation: finding sentences, choosing events, writing them and their words",
            f"seconds@100000: total seconds for {WORDS:,} words at the measured speed",
        ),
    )


def _for_a_book(seconds: dict[str, float], words: int) -> float:
    """Seconds for 100,000 words; loading takes the same time for any text."""
    loading = seconds["loading"]
    return round(loading + (sum(seconds.values()) - loading) * WORDS / words, 1)


def _run(
    memory: Namespace,
    scorer: _TimedScorer,
    embedder: _TimedEmbedder,
    text: str,
    folder: Path,
    tell: Callable[[str], None],
) -> dict[str, float]:
    """Seconds of every stage, in order."""
    clock = _Clock()
    embedder.encode(["ready"])
    scorer.score(["ready"])
    clock.lap("loading")
    scorer.seconds = embedder.seconds = scorer.tokens = 0
    tell(f"{len(text.split()):,} words into the store")
    path = folder / "text.txt"
    path.write_bytes(text.encode())
    clock.lap()
    ingest(memory, open_document(path, name="text"))
    clock.lap("store")
    tell("surprise and segmentation")
    while memory.events.segment_pending(memory.segmenter):
        pass
    clock.lap("segmentation")
    tell(f"{memory.events.count_after():,} events to embed")
    memory.catch_up()
    clock.lap("embedding")
    memory.sync_index()
    memory.retriever.index.save()
    clock.lap("index")
    found = clock.seconds
    cutting = found["segmentation"] - scorer.seconds
    appending = found["embedding"] - embedder.seconds
    return {
        "loading": found["loading"],
        "store": found["store"],
        "surprise": scorer.seconds,
        "segmentation": cutting,
        "embedding": embedder.seconds,
        "index": found["index"] + appending,
    }


class _Clock:
    """Seconds between laps; a lap without a name is not counted."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str | None = None) -> None:
        now = time.perf_counter()
        if name is not None:
            self.seconds[name] = now - self._last
        self._last = now


def _check(memory: Namespace, text: str) -> int:
    """Compare store, events and index with the text; return the number of events."""
    source = memory.sources.get("text")
    if memory.spans.text(source.id) != text:
        raise CheckError("the stored text differs from the text that was read")
    count = _check_events(memory, source, text)
    stored, _, _ = memory.retriever.vectors.size()
    if stored != count:
        raise CheckError(f"{count} events have {stored} vectors")
    ids, vectors = next(iter(memory.retriever.vectors.after(0)))
    step = max(1, len(ids) // _LOOKED_UP)
    for event_id, vector in zip(ids[::step], vectors[::step], strict=True):
        found = dict(memory.retriever.index.search(vector, 5))
        # Events with the same words have the same vector, so any event as near is accepted.
        if int(event_id) not in found and max(found.values(), default=0) < 0.999:
            raise CheckError(f"the index does not find event {event_id} by its own vector")
    return count


def _check_events(memory: Namespace, source: Source, text: str) -> int:
    end = count = 0
    for event in memory.events.of(source.id):
        between = text[end : event.start]
        if event.start < end or any(character.isalnum() for character in between):
            raise CheckError(f"the events omit or repeat words near character {end}")
        if event.text != text[event.start : event.end]:
            raise CheckError(f"{event.place}: the text of the event is not that of its characters")
        end, count = event.end, count + 1
    if any(character.isalnum() for character in text[end:]):
        raise CheckError(f"no event contains the words after character {end}")
    return count


def _text(data: Path | None, limit: int) -> tuple[str, dict[str, str]]:
    """The first `limit` words, and where they come from."""
    books, about = read_books(data)
    text, missing = "", limit
    for _, part in books:
        ends = [match.end() for match in re.finditer(r"\S+", part)][:missing]
        if ends:
            text += part[: ends[-1]] + "\n\n"
            missing -= len(ends)
        if not missing:
            break
    if not text:
        raise InputError(f"{data} contains no words: give a text")
    return text, about
