"""All of `memagent bench segments` in one report: boundaries beside those of people and of chance.

Every way of cutting is judged on the same documents; what it is told of the set, the mean size of
an event, comes from the others.
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

    Raises InputError without a set, CheckError where refinement is not the graph's.
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
    "a document is cut as one text, a unit a line; a boundary belongs to the unit that begins "
    "nearest to it",
    "surprise, size: the product's segmenters, the first its default; refined: each boundary "
    "moved to the most modular cut between its neighbours",
    "the other ways have as many boundaries as events of a set's mean size need, which every "
    "second document tells and the others, reported here, do not; a set of one document tells its "
    "own. fixed, refined: what refinement does without surprise",
    "units enter refinement, dips and modularity by their vectors times their words",
    "a topic of QMSum begins where a span of its turns does; an event of a story where "
    f"{SHIFTS} dimensions of its situation change",
    f"random: the way's own events in {DRAWS} other orders, the mean and the middle 95 % of the "
    "draws; by length: the same with their sizes in characters instead of units, which meets long "
    "units oftener; fixed: as many events of one size; over: the gain, and its 95 % by resampling "
    "the documents",
    "pk, window diff: errors, k half a document's mean event; figures are means over documents",
    "similarity inside over between: mean cosine of the units of an event over that of the units "
    "of adjoining ones",
    "graph: modularity by definition, each cut summed anew; cumulated: from cumulated sums",
)


def _halves(documents: Sequence[Document]) -> tuple[Sequence[Document], Sequence[Document]]:
    """Documents that tell the size of events, and those to be judged; one does both."""
    return (documents[::2], documents[1::2]) if len(documents) > 1 else (documents, documents)


def _mean_size(documents: Sequence[Document]) -> float:
    """Units of a marked event, mean over all."""
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
    """A judge of each way who has seen every document, and rows along the first document."""
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
    """For each unit its surprise in nats, and whether it begins an event."""
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
    """Flat figures of each set and way; of F1 the baselines' too, and the least the gain may be."""
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
    """A PNG picture of the surprise along a document; its path. InputError without matplotlib."""
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
