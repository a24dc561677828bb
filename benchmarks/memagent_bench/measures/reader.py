"""Measure how well the bundled reader answers, refuses and cites, against the nearest sentence.

Each question is asked three times: about its own passage, about eight passages of its set that
include it, as after a recall, and about eight that do not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from memagent.engines.pocket.nearest_sentences import Nearest
from memagent.engines.pocket.reader import Reader
from memagent.errors import InputError
from memagent.memory.index.embedder import Embedder
from memagent.memory.segmentation.sentences import sentences_around
from memagent_bench.data.files import held_out
from memagent_bench.data.items import Item, find_all
from memagent_bench.measures.answer_scores import exact, f1
from memagent_bench.report import CheckError, Report, hash_of
from memagent_bench.sample import thinned

__all__ = ["measure"]

AMONG = 8
TIMED_TOKENS, TIMED_PASSAGES = 128, 32
Tell = Callable[[str], None]
Answer = tuple[int, int, int]  # number of the text, start, end


@dataclass(frozen=True, slots=True)
class Said:
    """The answer of one method: its span, and whether the method considers it an answer."""

    span: Answer | None
    sure: bool


def measure(data: Sequence[Path], *, limit: int | None = None, tell: Tell) -> Report:
    """The report over question sets; `limit` takes every n-th question of each.

    Raises InputError without a set, and CheckError if an answer is not in the text that it cites.
    """
    if not data:
        raise InputError(
            "the bench needs questions: give --data FILE in the format of SQuAD 1.1 or FriendsQA, "
            "or the archive of FairytaleQA"
        )
    embedder = Embedder()
    reader, nearest = Reader(embedder=embedder), Nearest(embedder)
    ways: dict[str, Callable[[str, Sequence[str]], Said]] = {
        "reader": lambda question, texts: _read(reader, question, texts),
        "best sentence": lambda question, texts: _nearest(nearest, question, texts),
    }
    rows: list[dict[str, Any]] = []
    for path in data:
        items = held_out(path)
        source = items[0].source
        others = _others(items, embedder)
        kept = thinned(range(len(items)), limit)
        for way, answer in ways.items():
            tell(f"{source}: {way}, {len(kept)} questions")
            trials = [_trial(answer, items[i], others[i]) for i in kept]
            rows.append({"measure": "answers", "set": source, "way": way, **_mean(trials)})
    tell("time per passage")
    rows.append(_timed(reader, items[0].question, [item.passage for item in items]))
    return Report(
        "reader",
        {"file": ", ".join(path.name for path in data), "sha256": hash_of(data)},
        _metrics(rows),
        rows,
        (
            "f1, em: the best span of a question's own passage, regardless of its confidence",
            f"among: {AMONG} passages, the question's own and the nearest of other groups by "
            "embedding; a refusal counts as an empty answer",
            "no_answer_accuracy: the mean of two shares: questions answered if their passage is "
            f"among the {AMONG}, and questions refused if no passage contains an answer",
            "citation_precision: the share of the answers given among the passages whose sentence "
            "contains a correct answer",
        ),
    )


def _trial(
    answer: Callable[[str, Sequence[str]], Said], item: Item, others: Sequence[str]
) -> dict[str, float]:
    """The figures of one question, without those that do not apply to it."""
    own = answer(item.question, [item.passage])
    texts = [*others[: AMONG - 1], item.passage]
    among, without = answer(item.question, texts), answer(item.question, others)
    said, best = _text(own, [item.passage]), _text(among, texts) if among.sure else ""
    found = {
        "f1": f1(said, item.answers),
        "em": exact(said, item.answers),
        "f1_among": f1(best, item.answers),
        "answered": float(among.sure),
        "refused": float(not without.sure),
        "answered_alone": float(own.sure),
    }
    if among.sure and item.spans and among.span is not None:
        place, start, end = among.span
        low, high = sentences_around(texts[place], start, end)
        cited = place == len(texts) - 1 and any(low <= a and b <= high for a, b in item.spans)
        found["cited"] = float(cited)
    return found


def _read(reader: Reader, question: str, texts: Sequence[str]) -> Said:
    found = reader.read(question, texts)
    if not found:
        return Said(None, sure=False)
    best = found[0]
    words = texts[best.text][best.start : best.end]
    if not words.strip() or words != words.strip():
        raise CheckError(f"the reader cites {words!r}, which is not a run of words of the text")
    return Said((best.text, best.start, best.end), reader.answers(best))


def _nearest(nearest: Nearest, question: str, texts: Sequence[str]) -> Said:
    ranked = nearest.rank(question, texts)
    if not ranked:
        return Said(None, sure=False)
    best = ranked[0]
    return Said((best.text, best.start, best.end), best.score >= nearest.least)


def _text(said: Said, texts: Sequence[str]) -> str:
    if said.span is None:
        return ""
    place, start, end = said.span
    return texts[place][start:end]


def _others(items: Sequence[Item], embedder: Embedder) -> list[list[str]]:
    """For each question, the nearest passages of other groups that contain none of its answers."""
    passages = list(dict.fromkeys(item.passage for item in items))
    groups = {item.passage: item.group for item in items}
    vectors = embedder.encode(passages)
    asked = embedder.encode([item.question for item in items])
    found = []
    for item, order in zip(items, (-(asked @ vectors.T)).argsort(axis=1), strict=True):
        wrong = (
            passages[i]
            for i in order
            if groups[passages[i]] != item.group
            and not any(find_all(passages[i], answer) for answer in item.answers)
        )
        found.append(list(islice(wrong, AMONG)))
        if not found[-1]:
            raise InputError(
                f"{item.source} has too few passages: all of them answer {item.question!r}, "
                "or there is only one group"
            )
    return found


def _mean(trials: Sequence[dict[str, float]]) -> dict[str, float]:
    names = ("f1", "em", "f1_among", "answered", "refused", "answered_alone", "cited")
    row: dict[str, float] = {"questions": len(trials)}
    for name in names:
        values = [trial[name] for trial in trials if name in trial]
        row[name] = round(sum(values) / len(values), 4) if values else 0.0
    row["no_answer_accuracy"] = round((row["answered"] + row["refused"]) / 2, 4)
    return row


def _timed(reader: Reader, question: str, passages: Sequence[str]) -> dict[str, Any]:
    """Milliseconds to read passages cut to fill a window of TIMED_TOKENS."""
    rest = whole = " ".join(passages)
    texts: list[str] = []
    while len(texts) < TIMED_PASSAGES:
        cut = reader.cut(question, rest, TIMED_TOKENS)
        texts += [cut] if cut else []
        rest = rest[len(cut) :] if cut else rest + " " + whole
    best_of = []
    for count in (1, TIMED_PASSAGES):
        times = []
        for _ in range(5):
            began = time.perf_counter()
            reader.read(question, texts[:count])
            times.append((time.perf_counter() - began) / count * 1000)
        best_of.append(round(sorted(times)[2], 2))
    return {
        "measure": "time",
        "tokens": TIMED_TOKENS,
        "ms_alone": best_of[0],
        "ms_of_32": best_of[1],
    }


def _metrics(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Metrics over all questions, and for each set with its name as suffix."""
    answers = [row for row in rows if row["measure"] == "answers"]
    metrics: dict[str, float] = {}
    for row in answers:
        prefix = "" if row["way"] == "reader" else "baseline_"
        for name, key in (
            ("f1", "f1"),
            ("em", "em"),
            ("f1_among", "f1_among"),
            ("no_answer_accuracy", "no_answer_accuracy"),
            ("citation_precision", "cited"),
        ):
            metrics[f"{prefix}{name}_{row['set']}"] = row[key]
            same = [other for other in answers if other["way"] == row["way"]]
            total = sum(other["questions"] for other in same)
            mean = sum(other[key] * other["questions"] for other in same) / total
            metrics[f"{prefix}{name}"] = round(mean, 4)
    metrics["ms_per_passage"] = rows[-1]["ms_of_32"]
    return metrics
