"""What every recall signal has: a name, weights and a value for each candidate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from memagent.memory.recall.signals.candidates import Candidates
from memagent.types import Event, Kind

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Signal", "of_turns"]


class Signal(ABC):
    """A number per candidate that speaks for it as evidence.

    `weight` is the signal's weight for each kind of source, 0 where it is missing. The weights are
    fitted by `memagent_bench.training.recall`.
    """

    name: ClassVar[str]
    weight: ClassVar[Mapping[Kind, float]]

    @abstractmethod
    def compute(self, candidates: Candidates) -> np.ndarray:
        """The value of each candidate, float [m]."""


def of_turns(candidates: Candidates, value: Callable[[Event], float]) -> np.ndarray:
    """`value` of each candidate that is a turn of a session, 0 of the others: float64 [m]."""
    import numpy as np

    return np.array(
        [
            float(value(event)) if event.kind == "session" else 0.0
            for event in candidates.pool.events
        ]
    )
