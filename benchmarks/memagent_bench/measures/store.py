"""Measure the store: committing turns, recalling from up to 100,000 events, bytes, `--help`.

Vectors are generated, not embedded; the time of a query starts with its vector. No figures are
reported unless the index agrees with brute force, every recalled text equals the stored one, and
nothing of another namespace is recalled.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memagent.memory.index.embedder import Embedder, Reading
from memagent.memory.namespace import Namespace
from memagent.memory.store.database import Store
from memagent_bench.data.corpus import Corpus, source_data
from memagent_bench.report import CheckError, Report, fail_on_warnings, percentile

if TYPE_CHECKING:
    import numpy as np

__all__ = ["measure"]

SIZES = (1000, 10_000, 100_000)
BUDGET = 2000
_SEED = 20
_PIECES = 8  # of a document
_OTHERS = 16  # every 16th document goes to another namespace
_NEAREST = 10
_CONTENT = 4248  # the id of a content token


class _Ready(Embedder):
    """An embedder that returns given vectors and never loads the model."""

    def __init__(self) -> None:
        super().__init__()
        self.vectors: dict[str, np.ndarray] = {}

    def read(self, texts: Sequence[str]) -> list[Reading]:
        import numpy as np

        # A question has one token per word, each with the vector of the question.
        counts = [len(text.split()) for text in texts]
        return [
            Reading(
                self.vectors[text],
                np.full(count, _CONTENT, dtype=np.int64),
                np.tile(self.vectors[text], (count, 1)),
            )
            for text, count in zip(texts, counts, strict=True)
        ]


class _Library:
    """A growing store, with a copy of all text that went in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.embedder = _Ready()
        self.corpus = Corpus(_SEED, self.embedder.dim)
        self.texts: dict[str, dict[str, str]] = {"own": {}, "other": {}}
        self.bytes = 0
        self.open()

    def open(self) -> None:
        """Reopen the store and its index, as another process would."""
        self.store = Store(self.folder / "memory.db")
        self.own, self.other = (
            Namespace(self.store, name, self.embedder, self.folder / "index")
            for name in ("own", "other")
        )

    def close(self) -> None:
        for memory in (self.own, self.other):
            memory.sync_index()
            memory.close()
        self.store.close()

    def grow(self, events: int) -> None:
        """Add documents until the namespace has at least this many events."""
        while self.own.events.count_after() < events:
            number = len(self.texts["own"]) + len(self.texts["other"])
            self._add(self.other if number % _OTHERS == 1 else self.own, f"document {number}")
        self._vectors(self.own)
        self._vectors(self.other)

    def _add(self, memory: Namespace, name: str) -> None:
        pieces = self.corpus.pieces(_PIECES)
        source, _ = memory.sources.begin_document(name, name, None, "text/plain")
        memory.add_pieces(source, pieces, lambda spans, chars: None)
        while memory.events.segment_pending(memory.segmenter):
            pass
        text = "".join(piece.text for piece in pieces)
        self.texts[memory.namespace][name] = text
        self.bytes += len(text.encode())

    def _vectors(self, memory: Namespace) -> None:
        while True:
            _, through, _ = memory.retriever.vectors.size()
            ids = [event.id for event in memory.events.after(through, 4096)]
            if not ids:
                return
            memory.retriever.vectors.append(ids, self.corpus.vectors(len(ids)))

    def size(self) -> int:
        """Bytes of the store and its index files."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


@fail_on_warnings()
def measure(
    events: int = SIZES[-1],
    *,
    queries: int = 200,
    appends: int = 1000,
    tell: Callable[[str], None] = lambda line: None,
) -> Report:
    """Run the benchmark in a temporary folder. Raises CheckError if a check fails."""
    sizes = sorted({size for size in SIZES if size < events} | {events})
    metrics: dict[str, float] = {}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="memagent-bench-", dir=Path.cwd()) as folder:
        library = _Library(Path(folder))
        for size in sizes:
            tell(f"{size:,} events")
            row, figures = _at(library, size, queries)
            rows.append(row)
            metrics.update(figures)
        tell(f"{appends:,} turns")
        times = _append(library.own, appends)
        library.close()
    metrics["append_p50_ms"] = round(percentile(times, 0.5), 3)
    metrics["append_p95_ms"] = round(percentile(times, 0.95), 3)
    metrics["bytes_per_byte"] = rows[-1]["bytes_per_byte"]
    metrics["help_s"] = _help_seconds()
    return Report(
        "store",
        source_data(),
        metrics,
        rows,
        (
            f"text: words in Zipf's proportions, seed {_SEED}, segmented into sentences by size",
            "vectors: random around 512 centres, not embedded; the time of a query "
            "runs from its vector to the selected events with their text",
            f"queries: {queries} different queries at each size, {BUDGET} tokens of recalled text",
            f"appends: {appends} turns to the largest store, each a commit with fsync",
        ),
    )


def _at(library: _Library, size: int, queries: int) -> tuple[dict[str, Any], dict[str, float]]:
    """Grow to `size` events, reopen the store, query it, and check the results."""
    start = time.perf_counter()
    library.grow(size)
    grown = time.perf_counter() - start
    library.close()
    stored = library.size()
    library.open()
    memory = library.own
    asked = _questions(library, queries + 1)
    first, *times = [_timed(memory, question) for question in asked]
    _check_texts(library, asked)
    exact = _check_index(memory, library.corpus)
    _check_isolation(library)
    row: dict[str, Any] = {
        "events": memory.events.count_after(),
        "text_bytes": library.bytes,
        "stored_bytes": stored,
        "bytes_per_byte": round(stored / library.bytes, 3),
        "index": memory.retriever.index.kind,
        "recall10": exact,
        "first_query_ms": round(first, 2),
        "query_p50_ms": round(percentile(times, 0.5), 2),
        "query_p95_ms": round(percentile(times, 0.95), 2),
        "query_max_ms": round(max(times), 2),
        "grown_s": round(grown, 1),
    }
    figures = {f"query_p95_ms@{size}": row["query_p95_ms"], f"recall10@{size}": exact}
    return row, figures


def _questions(library: _Library, count: int) -> list[str]:
    """Different questions, each with words of an event and a vector near its vector."""
    import numpy as np

    memory, corpus = library.own, library.corpus
    ids, vectors = (
        np.concatenate(part) for part in zip(*memory.retriever.vectors.after(0), strict=True)
    )
    asked: dict[str, None] = {}
    for place in corpus.random.permutation(len(ids)):
        (event,) = memory.events.get([int(ids[place])])
        question = corpus.question(event.text)
        library.embedder.vectors[question] = corpus.near(vectors[place : place + 1], 0.5)[0]
        asked.setdefault(question)
        if len(asked) == count:
            return list(asked)
    raise CheckError(f"only {len(asked)} different questions for {len(ids)} events")


def _timed(memory: Namespace, question: str) -> float:
    start = time.perf_counter()
    memory.recall(question, budget=BUDGET)
    return (time.perf_counter() - start) * 1000


def _check_texts(library: _Library, asked: list[str]) -> None:
    """Check that every recalled event is verbatim what was stored, within the budget."""
    own = library.texts["own"]
    for question in asked:
        found = library.own.recall(question, budget=BUDGET)
        if not found.events or found.spent > BUDGET:
            raise CheckError(f"{question!r}: {len(found.events)} events, {found.spent} tokens")
        for event in found.events:
            if own.get(event.source, "")[event.start : event.end] != event.text:
                raise CheckError(f"{event.place}: the recalled text differs from the stored one")


def _check_index(memory: Namespace, corpus: Corpus, queries: int = 100) -> float:
    """The share of the ten nearest by brute force that the index finds: all, if it is exact."""
    import numpy as np

    ids, vectors = (
        np.concatenate(part) for part in zip(*memory.retriever.vectors.after(0), strict=True)
    )
    found = 0
    for query in corpus.vectors(queries):
        scores = vectors @ query
        limit = np.sort(scores)[-_NEAREST] - 1e-5
        hits = memory.retriever.index.search(query, _NEAREST)
        near = dict(zip(ids.tolist(), scores.tolist(), strict=True))
        found += sum(near[event_id] >= limit for event_id, _ in hits)
    share = int(found) / (queries * _NEAREST)
    if memory.retriever.index.kind == "flat" and share < 1:
        raise CheckError(f"the exact index found {share:.4f} of the {_NEAREST} nearest")
    return round(share, 4)


def _check_isolation(library: _Library) -> None:
    """Check that words and vectors of the other namespace recall nothing of it here."""
    foreign = list(library.other.retriever.vectors.after(0))
    for event in library.other.events.after(0, 50):
        library.embedder.vectors[event.text] = foreign[0][1][0]
        for found in library.own.recall(event.text, budget=BUDGET).events:
            if found.source in library.texts["other"]:
                raise CheckError(f"{found.place} of another namespace was recalled")
        if event.id not in {e.id for e in library.other.recall(event.text, budget=BUDGET).events}:
            raise CheckError(f"{event.place} is not found in its own namespace")


def _append(memory: Namespace, count: int) -> list[float]:
    """Milliseconds of each commit of a turn of about forty words."""
    session = memory.sources.session("bench")
    times = []
    for number in range(count):
        text = f"Turn {number}. " + "A turn of a conversation, forty words or so. " * 5
        start = time.perf_counter()
        memory.spans.append_turn(session.id, "user", text)
        times.append((time.perf_counter() - start) * 1000)
    stored = memory.spans.of(session.id)
    if len(stored) != count or not stored[-1].text.startswith(f"Turn {count - 1}."):
        raise CheckError(f"{len(stored)} of {count} turns were stored")
    return times


def _help_seconds(runs: int = 7) -> float:
    program = Path(sys.executable).with_name("memagent")
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run([program, "--help"], capture_output=True, check=True)
        times.append(time.perf_counter() - start)
    return round(statistics.median(times[1:]), 3)
