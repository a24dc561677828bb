"""All of `memagent bench recall` in one report: coverage by budget, method and category; latency.

Every recalled turn counts against the budget; a method that exceeds it gets no figure.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from memagent.errors import InputError
from memagent.memory.index.embedder import Embedder
from memagent.memory.segmentation.sentences import Segmenter
from memagent.memory.segmentation.surprising import SurprisingSentences
from memagent.scorers.local import ModelSurprise
from memagent_bench.data.files import read_histories
from memagent_bench.data.items import Asked, History
from memagent_bench.measures.recall.ablation import ablated
from memagent_bench.measures.recall.baselines import BASELINES, Baselines
from memagent_bench.measures.recall.score import BUDGETS, coverage, filled
from memagent_bench.measures.recall.stored import Stored
from memagent_bench.plots import lines
from memagent_bench.report import Report, fail_on_warnings, hash_of, percentile
from memagent_bench.sample import thinned

__all__ = ["measure", "plot"]

OWN = "memagent"
TIMED = 2000  # tokens
Tell = Callable[[str], None]


# For each method and question: its category and its coverage at each budget.
Found = dict[str, list[tuple[str, list[float]]]]


@fail_on_warnings()
def measure(
    data: Sequence[Path], *, limit: int | None = None, ablate: bool = False, tell: Tell
) -> Report:
    """The report over sets of histories; `limit` takes every n-th question of each.

    `ablate` adds the ablations. Raises InputError without a set, and CheckError if recalled text
    exceeds its budget.
    """
    if not data:
        raise InputError(
            "the bench needs histories with questions: give --data FILE in the format of LoCoMo, "
            "SQuAD, HotpotQA or MuSiQue, or the archive of QMSum or FairytaleQA"
        )
    embedder = Embedder()
    segmenter = SurprisingSentences(ModelSurprise())
    rows: list[dict[str, Any]] = []
    metrics: dict[str, float] = {}
    seconds: dict[int, list[float]] = defaultdict(list)
    unresolved = 0
    for path in data:
        name, histories = read_histories(path)
        found: Found = defaultdict(list)
        for history in histories:
            tell(f"{name}: {history.name}, {len(history.turns):,} turns")
            unresolved += history.unresolved
            asked = thinned(history.asked, limit)
            _by_baselines(history, asked, embedder, found)
            _by_memory(history, asked, embedder, segmenter, found, seconds)
        rows += _rows(name, found)
        if ablate:
            rows += ablated(name, histories, embedder, tell)
        for key, value in _metrics(found).items():
            metrics[f"{key}_{name}"] = value
            metrics.setdefault(key, value)
    for budget in BUDGETS:
        for name, share in (("p50", 0.5), ("p95", 0.95)):
            figure = round(percentile(seconds[budget], share) * 1000, 2)
            metrics[f"query_{name}_ms@{budget}"] = figure
            if budget == TIMED:
                metrics[f"query_{name}_ms"] = figure
    return Report(
        "recall",
        {"file": ", ".join(path.name for path in data), "sha256": hash_of(data)},
        metrics,
        rows,
        (
            "coverage: mean over questions of the share of their evidence that was recalled, by "
            "turn or by section of a story",
            "a turn, or an event in it, takes int(1.33 x words) + 6 tokens of the budget",
            "words: SQLite FTS5 over windows of five turns, the floor; vectors: the embedding of "
            "each turn; ranks fused: both, over turns and windows, preferring the named speaker",
            "figures without the name of a set are those of the first set",
            "time of a query: including the embedding of the question; for "
            f"{TIMED} tokens if no budget is named",
            "ablation: segmenters times shares of the budget for neighbours; gain: over the "
            "default segmenter and share, with a 95 % interval over questions (paired "
            "bootstrap); on a sample of each set",
            f"evidence labels that match no turn: {unresolved}",
        ),
    )


def plot(report: Report, folder: Path) -> list[Path]:
    """Plot coverage against budget, one PNG per set and one line per method.

    Raises InputError without matplotlib.
    """
    rows = [r for r in report.rows if r["measure"] == "coverage" and r["category"] == "all"]
    return [
        lines(
            folder / f"recall-{name}.png",
            {
                row["way"]: [(budget, 100 * row[f"@{budget}"]) for budget in BUDGETS]
                for row in rows
                if row["set"] == name
            },
            title=f"Evidence recalled, {name}",
            x="tokens",
            y="coverage, %",
        )
        for name in dict.fromkeys(row["set"] for row in rows)
    ]


def _by_baselines(
    history: History, asked: Sequence[Asked], embedder: Embedder, found: Found
) -> None:
    rivals, costs = Baselines(history, embedder), [turn.tokens for turn in history.turns]
    for question in asked:
        for way, order in rivals.rank(question.question).items():
            covered = [
                coverage(question, dict.fromkeys(filled(order, costs, budget), 1.0))
                for budget in BUDGETS
            ]
            found[way].append((question.category, covered))


def _by_memory(
    history: History,
    asked: Sequence[Asked],
    embedder: Embedder,
    segmenter: Segmenter,
    found: Found,
    seconds: dict[int, list[float]],
) -> None:
    """Add the coverage of the memory to `found`, and the seconds of each query to `seconds`."""
    with tempfile.TemporaryDirectory() as folder:
        stored = Stored(history, embedder, Path(folder), segmenter)
        for budget in BUDGETS:
            stored.recall(asked[0].question, budget)  # warm-up
        for question in asked:
            covered = []
            for budget in BUDGETS:
                began = time.perf_counter()
                recalled = stored.recall(question.question, budget)
                seconds[budget].append(time.perf_counter() - began)
                covered.append(coverage(question, recalled))
            found[OWN].append((question.category, covered))
        stored.close()


def _rows(name: str, found: Found) -> list[dict[str, Any]]:
    rows = []
    for way, each in found.items():
        for category in ("all", *sorted({category for category, _ in each})):
            chosen = [covered for of, covered in each if category in ("all", of)]
            rows.append(
                {"measure": "coverage", "set": name, "way": way, "category": category}
                | {"questions": len(chosen)}
                | {f"@{budget}": value for budget, value in _means(chosen).items()}
            )
    return rows


def _metrics(found: Found) -> dict[str, float]:
    """Flat figures of a set, without its name."""
    metrics = {}
    named = dict(zip(BASELINES, ("floor_", "dense_", "fused_"), strict=True)) | {OWN: ""}
    for way, prefix in named.items():
        each = found[way]
        for budget, value in _means([covered for _, covered in each]).items():
            metrics[f"{prefix}coverage@{budget}"] = value
        for category in sorted({category for category, _ in each}):
            of_it = _means([covered for of, covered in each if of == category])
            metrics[f"{prefix}coverage_cat{category}@{TIMED}"] = of_it[TIMED]
    return metrics


def _means(covered: Sequence[Sequence[float]]) -> Mapping[int, float]:
    columns = zip(*covered, strict=True)
    return {
        budget: round(sum(column) / len(column), 4)
        for budget, column in zip(BUDGETS, columns, strict=True)
    }
