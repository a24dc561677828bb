"""Run `memagent bench segments`: compare boundaries with human ones and with chance.

Every method is scored on the same documents. The only knowledge it gets of the set, the mean size
of an event, comes from other documents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memagent.errors import InputError
from memagent.memory.index.embedder import Embedder
from memagent.memory.segmentation.scorer import Scorer
from memagent.scorers.local import ModelSurprise
from memagent_bench.data.files import Marked, read_marked
from memagent_bench.data.items import Document
from memagent_bench.data.shifts import SHIFTS
from memagent_bench.measures.segments import graph
from memagent_bench.measures.segments.judge import DRAWS, SIMILARITY, Judge
from memagent_bench.measures.segments.ways import WAYS, Reading, unit_surprise
from memagent_bench.plots import lines
from memagent_bench.report import Report, hash_of
from memagent_bench.sample import thinned

if TYPE_CHECKING:
    import numpy as np

__all__ = ["measure", "plot"]

CHECKED = 1000  # windows
PEOPLE = "people"
ALONG = "along a document"
_DRAWN = ("surprise", "strongest surprise, refined")
Tell = Callable[[str], None]


def measure(data: Sequence[Path], *, limit: int | None = None, tell: Tell) -> Report:
    """The report over sets with marked boundaries; `limit` takes every n-th document of each.

    Raises InputError without a set, and CheckError if refinement differs from the graph.
    """
    if not data:
        raise InputError(
            "the bench needs documents with boundaries: give --data FILE, the archive of QMSum, "
            "of Choi's documents, or a table of event shifts by clause"
        )
    tell(f"refinement of {CHECKED:,} windows against their graphs")
    graph.check(CHECKED)
    timed = graph.timed()
    embedder, scorer = Embedder(), ModelSurprise()
    rows: list[dict[str, Any]] = []
    along: list[dict[str, Any]] = []
    told = []
    for path in data:
        marked = read_marked(path)
        given, held = _halves(thinned(marked.documents, limit))
        size = _mean_size(given)
        told.append(
            f"{marked.name}: {len(held)} documents, a unit is a {marked.unit}, near is within "
            f"{marked.tolerance}, an event has {size:.1f} units"
        )
        judges, first = _judged(marked, held, size, embedder, scorer, tell)
        along = along or first
        for way, judge in judges.items():
            rows += [{"set": marked.name, "way": way, **row} for row in judge.rows()]
    return Report(
        "segments",
        {"file": ", ".join(path.name for path in data), "sha256": hash_of(data)},
        {"windows_checked": CHECKED, **_times(timed), **_metrics(rows)},
        [*rows, timed, *along],
        (*told, *_NOTES),
    )


_NOTES = (
    "a document is segmented as one text with one unit per line; a boundary belongs to the unit "
    "that starts nearest to it",
    "surprise, size: the product's segmenters, the first its default; refined: each boundary "
    "moved to the most modular cut between its neighbours",
    "the other methods get as many boundaries as the mean event size of the set requires. Every "
    "second document gives this size, and the others are scored; a set of one document gives its "
    "own. fixed, refined: refinement without surprise",
    "refinement, dips and modularity use the vectors of units times their number of words",
    "a topic of QMSum starts where a span of its turns does; an event of a story starts where "
    f"{SHIFTS} dimensions of its situation change",
    f"random: the events of the method in {DRAWS} other orders, mean and central 95 % of the "
    "draws; by length: the same with sizes in characters instead of units, which hits long units "
    "more often; fixed: as many events of equal size; over: the gain, and its 95 % interval by "
    "bootstrap over documents",
    "pk, window diff: errors with k = half the mean event; figures are means over documents",
    "similarity inside over between: mean cosine of units in the same event, divided by that of "
    "units in adjacent events",
    "graph: modularity by definition, summed for each cut; cumulated: from cumulative sums",
)


def _halves(documents: Sequence[Document]) -> tuple[Sequence[Document], Sequence[Document]]:
    """Documents that give the size of events, and documents to score; a single one does both."""
    return (documents[::2], documents[1::2]) if len(documents) > 1 else (documents, documents)


def _mean_size(documents: Sequence[Document]) -> float:
    """Mean number of units of a marked event over all documents."""
    events = sum(len(document.gold) + 1 for document in documents)
    return sum(len(document.units) for document in documents) / events


def _judged(
    marked: Marked,
    documents: Sequence[Document],
    size: float,
    embedder: Embedder,
    scorer: Scorer,
    tell: Tell,
) -> tuple[dict[str, Judge], list[dict[str, Any]]]:
    """A judge for each method that has seen every document, and rows along the first document."""
    import numpy as np

    source = np.random.default_rng(11)
    judges = {way: Judge(marked.tolerance, source) for way in (PEOPLE, *WAYS)}
    along: list[dict[str, Any]] = []
    for document in documents:
        tell(f"{marked.name}: {document.name}, {len(document.units)} units")
        vectors = embedder.encode(document.units)
        reading = Reading(document, scorer.score([document.text])[0], vectors, size)
        found = {PEOPLE: document.gold, **{way: cut(reading) for way, cut in WAYS.items()}}
        along = along or _along(reading, found)
        prefix = _prefix(vectors)
        for way, boundaries in found.items():
            judges[way].add(document, prefix, boundaries)
    return judges, along


def _prefix(vectors: np.ndarray) -> np.ndarray:
    import numpy as np

    zero = np.zeros((1, vectors.shape[1]))
    return np.concatenate((zero, vectors.astype(np.float64).cumsum(0)))


def _along(reading: Reading, found: dict[str, tuple[int, ...]]) -> list[dict[str, Any]]:
    """For each unit, its surprise in nats and whether it starts an event."""
    return [
        {"measure": ALONG, "document": reading.document.name, "unit": unit}
        | {"surprise": round(nats, 3)}
        | {f"begins, {way}": unit in found[way] for way in (PEOPLE, *_DRAWN)}
        for unit, nats in enumerate(unit_surprise(reading.document, reading.surprise).tolist())
    ]


def _times(timed: dict[str, Any]) -> dict[str, float]:
    tokens, own = timed["tokens"], timed["prefix sums ms"]
    return {
        f"refinement_ms@{tokens}": own,
        f"graph_over_refinement@{tokens}": round(timed["graph ms"] / own, 2),
        f"cumulated_graph_over_refinement@{tokens}": round(timed["graph, cumulated ms"] / own, 2),
    }


def _metrics(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Flat figures of each set and method; F1 has its baselines and lower bounds of the gains."""
    metrics: dict[str, float] = {}
    for row in rows:
        if row["measure"] not in ("f1", "near f1", "pk", "window diff", SIMILARITY):
            continue
        figures = {"": row["measured"]}
        if row["measure"] == "f1":
            for other in ("random", "random by length", "fixed"):
                figures[f"_{other}"] = row[other]
                figures[f"_over_{other}_low"] = (row[f"over {other} 95 %"] or [None])[0]
        measure = "similarity" if row["measure"] == SIMILARITY else row["measure"]
        for figure, value in figures.items():
            name = f"{row['way']}_{measure}{figure}_{row['set']}"
            if value is not None:
                metrics[name.replace(", ", "_").replace(" ", "_")] = value
    return metrics


def plot(report: Report, folder: Path) -> Path:
    """Plot the surprise along a document as a PNG; return its path.

    Raises InputError without matplotlib.
    """
    rows = [row for row in report.rows if row["measure"] == ALONG]
    begins = {
        way: [row["unit"] for row in rows if row[f"begins, {way}"]] for way in (PEOPLE, *_DRAWN)
    }
    return lines(
        folder / "segments-surprise.png",
        {"surprise of a unit's first tokens": [(row["unit"], row["surprise"]) for row in rows]},
        title=f"Where events begin in {rows[0]['document']}",
        x="unit",
        y="nats",
        marks={f"boundaries: {way}": units for way, units in begins.items()},
    )
