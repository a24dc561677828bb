"""Calibrate the reader's scores on held-out questions, as the probability of being right.

Each question is asked twice: about eight passages that include the right one, and about eight that
do not. Platt scaling turns scores into confidences. Knows nothing of how the reader is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from memagent.engines.pocket.reader import Reader
from memagent.engines.pocket.weights import Calibration
from memagent_bench.data.items import Item
from memagent_bench.measures.answer_scores import f1
from memagent_bench.training.negatives import without_answer
from memagent_bench.training.questions import is_kept, paragraphs, read_sets
from memagent_bench.training.statements import statement_items

__all__ = ["Kept", "calibrated", "held_back", "score"]

AMONG = 8
EACH = 120
RIGHT = 0.5  # minimum F1 of a correct answer


@dataclass(frozen=True, slots=True)
class Kept:
    """A question and passages that do not answer it."""

    item: Item
    others: list[str]


def held_back(folder: Path, seed: int) -> list[Kept]:
    """Held-out questions: `EACH` of stories, of articles and of generated facts."""
    everything = [item for item in read_sets(folder) if item.source in ("fairytaleqa", "natural")]
    items = [item for item in everything if is_kept(item)]
    articles = [item.passage for item in everything if item.source == "natural"]
    texts = paragraphs(folder) + [item.passage for item in everything]
    found = without_answer(items, texts, seed + 1, AMONG)
    random = np.random.default_rng(seed)
    kept = []
    for source in ("fairytaleqa", "natural"):
        rows = [
            Kept(item, others)
            for item, others in zip(items, found, strict=True)
            if item.source == source and len(others) == AMONG
        ]
        kept += [rows[i] for i in random.permutation(len(rows))[:EACH]]
    for item, alike in statement_items(EACH, seed + 1000):
        others = [articles[i] for i in random.integers(len(articles), size=AMONG - 1)]
        kept.append(Kept(item, [alike, *others]))
    return [kept[i] for i in random.permutation(len(kept))]


def _trials(reader: Reader, kept: Sequence[Kept]) -> list[tuple[float, float, bool]]:
    """(score, F1, whether the answer was present) of each question with and without its passage."""
    trials = []
    for question in kept:
        item = question.item
        for there in (True, False):
            texts = [*question.others[: AMONG - 1], item.passage] if there else question.others
            best = reader.read(item.question, texts)[0]
            said = texts[best.text][best.start : best.end]
            spans = [item.passage[a:b] for a, b in item.spans]
            trials.append((best.score, f1(said, [*item.answers, *spans]) if there else 0.0, there))
    return trials


def calibrated(reader: Reader, kept: Sequence[Kept]) -> tuple[Calibration, dict[str, Any]]:
    """The calibration of the reader's scores, how it was fitted, and the figures of `score`."""
    from sklearn.linear_model import LogisticRegression

    trials = _trials(reader, kept)
    scores = np.array([value for value, _, _ in trials])
    right = np.array([value >= RIGHT for _, value, _ in trials])
    there = np.array([there for _, _, there in trials])
    fit = LogisticRegression(C=1e6).fit(scores[:, None], right)
    slope, offset = float(fit.coef_[0, 0]), float(fit.intercept_[0])
    # The threshold with the best mean of both rates: answering and refusing have equal weight.
    cuts = np.unique(np.quantile(scores, np.linspace(0, 1, 401)))
    gain = [(scores[there] >= cut).mean() + (scores[~there] < cut).mean() for cut in cuts]
    best = int(np.argmax(gain))
    confidence = 1 / (1 + np.exp(-(slope * scores + offset)))
    least = float(1 / (1 + np.exp(-(slope * cuts[best] + offset))))
    calibration = replace(reader.calibration, slope=slope, offset=offset, least=least)
    return calibration, _figures(reader, kept, trials) | {
        "slope": slope,
        "offset": offset,
        "least_confidence": least,
        "no_answer_accuracy": float(gain[best]) / 2,
        "expected_calibration_error": _calibration_error(confidence, right),
    }


def _calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 10) -> float:
    """Mean distance between confidence and accuracy over bins of equal width."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return float(
        sum(
            abs(confidence[place == i].mean() - right[place == i].mean()) * (place == i).mean()
            for i in range(bins)
            if (place == i).any()
        )
    )


def score(reader: Reader, kept: Sequence[Kept]) -> dict[str, float]:
    """F1 of the best span, and how well its score detects answers.

    F1 is measured in the question's own passage and among eight. Detection is the area under the
    ROC curve of the score, which separates answerable from unanswerable questions.
    """
    return _figures(reader, kept, _trials(reader, kept))


def _figures(
    reader: Reader, kept: Sequence[Kept], trials: Sequence[tuple[float, float, bool]]
) -> dict[str, float]:
    from sklearn.metrics import roc_auc_score

    alone = []
    for question in kept:
        item = question.item
        best = reader.read(item.question, [item.passage])[0]
        spans = [item.passage[a:b] for a, b in item.spans]
        alone.append(f1(item.passage[best.start : best.end], [*item.answers, *spans]))
    return {
        "questions": len(kept),
        "f1_alone": float(np.mean(alone)),
        "f1_among_8": float(np.mean([value for _, value, there in trials if there])),
        "separation": float(
            roc_auc_score([there for *_, there in trials], [value for value, *_ in trials])
        ),
    }
