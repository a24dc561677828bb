"""Fit the weights of the recall signals on histories with labelled evidence.

    python -m memagent_bench.training.recall --data LOCOMO.json --data QMSUM …
        --report docs/models/recall.json

prints the weights for `memory/recall/signals/`, one set for conversations and one for documents,
fitted on all histories. It reports how weights perform on data that they were not fitted on: each
set is split into folds by history, or by question if it has few histories.
The loss is listwise: a softmax over all candidate events, whose mass should be on the evidence
("Learning to Rank: From Pairwise Approach to Listwise Approach", Cao et al., ICML 2007).
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memagent.memory.events import Filter
from memagent.memory.index.embedder import Embedder
from memagent.memory.recall.ranker import signal_values, weights_by_kind
from memagent.memory.segmentation.surprising import SurprisingSentences
from memagent.scorers.local import ModelSurprise
from memagent_bench.data.files import read_histories
from memagent_bench.data.items import Asked, History, cost
from memagent_bench.measures.recall.score import BUDGETS, coverage, filled
from memagent_bench.measures.recall.stored import Stored
from memagent_bench.sample import thinned

log = logging.getLogger("recall")

FOLDS = 5
DEPTH = 400
RIDGE = 1e-3


@dataclass(frozen=True)
class Seen:
    """A question and its candidate events.

    Signals [event, signal], the share of each event that is evidence, its cost, and the share of
    each turn that it contains.
    """

    fold: int
    group: str
    kind: str
    asked: Asked
    signs: Tensor
    target: Tensor
    costs: list[int]
    turns: list[list[tuple[int, float]]]


def look_up(
    name: str, fold: int, history: History, limit: int | None, embedder: Embedder
) -> tuple[list[str], list[Seen]]:
    """The names of the signals, and the questions of a history asked of a real store."""
    found, names = [], []
    with tempfile.TemporaryDirectory() as folder:
        stored = Stored(history, embedder, Path(folder), SurprisingSentences(ModelSurprise()))
        search = stored.memory.retriever.search
        for asked in thinned(history.asked, limit):
            candidates = search.gather(search.query(asked.question), DEPTH, Filter())
            if candidates is None:
                continue
            by_name = signal_values(candidates)
            names = list(by_name)
            turns = [list(stored.turns_of(event)) for event in candidates.pool.events]
            gold = [sum(share for turn, share in of if turn in asked.gold) for of in turns]
            target = torch.tensor(gold)
            if target.sum() > 0:
                target /= target.sum()
            costs = [cost(event.text) for event in candidates.pool.events]
            table = torch.from_numpy(np.stack([*by_name.values()], 1)).float()
            kind = candidates.pool.events[0].kind
            found.append(Seen(fold, name, kind, asked, table, target, costs, turns))
        stored.close()
    return names, found


def fit(seen: Sequence[Seen]) -> Tensor:
    """The weight of each signal; every set counts equally, whatever its number of questions."""
    groups = {each.group: 0 for each in seen}
    for each in seen:
        groups[each.group] += 1
    weights = torch.zeros(seen[0].signs.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = RIDGE * (weights**2).sum()
        for each in seen:
            log_share = (each.signs @ weights).log_softmax(0)
            loss = loss - (log_share * each.target).sum() / groups[each.group] / len(groups)
        loss.backward()
        return loss

    optimizer.step(closure)
    return weights.detach()


def covered(seen: Iterable[Seen], weights: Tensor) -> dict[str, float]:
    """Mean coverage at each budget, taking the best events that fit."""
    rows: dict[str, list[float]] = {}
    for each in seen:
        order = torch.argsort(-(each.signs @ weights), stable=True).tolist()
        for budget in BUDGETS:
            recalled: dict[int, float] = {}
            for place in filled(order, each.costs, budget):
                for turn, share in each.turns[place]:
                    recalled[turn] = recalled.get(turn, 0.0) + share
            value = coverage(each.asked, recalled)
            rows.setdefault(f"@{budget}", []).append(value)
            if budget == 2000:
                rows.setdefault(f"category {each.asked.category} @2000", []).append(value)
    return {key: round(float(np.mean(row)), 4) for key, row in sorted(rows.items())}


def held_out(seen: Sequence[Seen]) -> dict[str, dict[str, float]]:
    """Coverage by set, for the questions of each fold with weights fitted on the other folds."""
    scored: dict[str, list[Seen]] = {}
    for fold in range(FOLDS):
        rest = [each for each in seen if each.fold != fold]
        if len(rest) == len(seen):
            continue
        weights = fit(rest)
        for each in seen:
            if each.fold == fold:
                score = (each.signs @ weights)[:, None]
                scored.setdefault(each.group, []).append(replace(each, signs=score))
    return {group: covered(each, torch.ones(1)) for group, each in scored.items()}


def chosen(seen: Sequence[Seen], names: Sequence[str], kept: Sequence[str]) -> list[Seen]:
    """The questions with these signals only."""
    places = [names.index(name) for name in kept]
    return [replace(each, signs=each.signs[:, places]) for each in seen]


def report_of(kind: str, names: Sequence[str], seen: Sequence[Seen]) -> dict[str, Any]:
    """The weights for a kind of source and their held-out coverage.

    Also the coverage without each signal, and with each signal that is not used.
    """
    own = list(weights_by_kind()[kind])
    weights = fit(chosen(seen, names, own)).tolist()
    report: dict[str, Any] = {
        "questions": len(seen),
        "weights": {name: round(value, 2) for name, value in zip(own, weights, strict=True)},
        "held_out": held_out(chosen(seen, names, own)),
        "without": {
            name: held_out(chosen(seen, names, [other for other in own if other != name]))
            for name in own
        },
        "with": {
            name: held_out(chosen(seen, names, [*own, name])) for name in names if name not in own
        },
    }
    log.info("%s: %s", kind, json.dumps(report["weights"], indent=1))
    for group, row in report["held_out"].items():
        log.info("%s %s", group, row)
    return report


def main() -> None:
    """Look up, fit, print, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--questions", type=int, default=800, help="of each set at most")
    parser.add_argument("--histories", type=int, default=20, help="of each set at most")
    parser.add_argument("--report", type=Path, required=True)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    embedder = Embedder()
    seen: list[Seen] = []
    names: list[str] = []
    for path in args.data:
        name, histories = read_histories(path, "train")
        histories = list(thinned(histories, args.histories))
        limit = -(-args.questions // len(histories))
        for number, history in enumerate(histories):
            names, found = look_up(name, number % FOLDS, history, limit, embedder)
            if len(histories) < FOLDS:
                found = [replace(each, fold=place % FOLDS) for place, each in enumerate(found)]
            seen += found
            log.info("%s: %s, %d questions", name, history.name, len(found))
    kinds = {kind: [each for each in seen if each.kind == kind] for kind in weights_by_kind()}
    report = {kind: report_of(kind, names, each) for kind, each in kinds.items() if each}
    args.report.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
