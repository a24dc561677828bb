"""Ranks candidates by a linear score: the weighted sum of the recall signals."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from memagent.memory.recall.signals.candidates import Candidates
from memagent.memory.recall.signals.table import SIGNALS
from memagent.types import Kind

if TYPE_CHECKING:
    import numpy as np

__all__ = ["contributions", "signal_values", "weights_by_kind"]


def signal_values(candidates: Candidates) -> dict[str, np.ndarray]:
    """The unweighted value [m] of each signal, by name."""
    return {signal.name: signal.compute(candidates) for signal in SIGNALS}


def weights_by_kind() -> dict[Kind, dict[str, float]]:
    """For each kind of source the weights of its signals, by name."""
    kinds: tuple[Kind, ...] = get_args(Kind)
    return {
        kind: {signal.name: signal.weight[kind] for signal in SIGNALS if kind in signal.weight}
        for kind in kinds
    }


def contributions(candidates: Candidates) -> dict[str, np.ndarray]:
    """Each signal [m] times its weight for the kind of the event's source, by name.

    Their sum is a logit, comparable with those of other events for the same question.
    """
    import numpy as np

    events = candidates.pool.events
    of_kind = {kind: np.array([event.kind == kind for event in events]) for kind in get_args(Kind)}
    return {
        signal.name: signal.compute(candidates)
        * sum(signal.weight.get(kind, 0.0) * rows for kind, rows in of_kind.items())
        for signal in SIGNALS
    }
