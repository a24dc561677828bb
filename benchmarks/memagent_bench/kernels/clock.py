"""Clocks that time calls on a CPU and on a GPU. Knows nothing of the calls.

A clock calls `run(i)` with the numbers of input sets in turn, so that no set is still in a cache.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from memagent_bench.report import percentile

__all__ = ["Clock", "DeviceClock", "HostClock", "Times"]

Timed = Callable[[int], Any]
_FEWEST, _MOST = 5, 300
_SLOW = 0.5  # seconds of a call from which three are enough
_REPLAY_US = 2000.0  # a captured graph holds about so much work


@dataclass(frozen=True, slots=True)
class Times:
    """Microseconds of one call: median, tenth and ninetieth percentile of `samples`.

    `how` is "graph" where the calls were captured in a CUDA graph; `eager_us` is then the median
    without it, host included.
    """

    us: float
    p10: float
    p90: float
    samples: int
    how: str = "eager"
    eager_us: float | None = None

    @classmethod
    def of(cls, samples: Sequence[float], how: str = "eager") -> Times:
        """The percentiles of measured microseconds."""
        middle, low, high = (percentile(samples, share) for share in (0.5, 0.1, 0.9))
        return cls(middle, low, high, len(samples), how)

    def row(self) -> dict[str, Any]:
        """Columns of a report."""
        row = {
            "us": round(self.us, 2),
            "us_p10": round(self.p10, 2),
            "us_p90": round(self.p90, 2),
            "samples": self.samples,
            "how": self.how,
        }
        return row if self.eager_us is None else {**row, "eager_us": round(self.eager_us, 2)}


class Clock(ABC):
    """Times calls; one measurement takes about `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    @abstractmethod
    def eager(self, run: Timed, sets: int = 1) -> Times:
        """Time plain calls."""

    @abstractmethod
    def best(self, run: Timed, sets: int = 1) -> Times:
        """Time calls in the fastest way: from a captured graph if possible."""

    def _count(self, seconds: float, sets: int) -> int:
        if seconds > _SLOW:
            return 3
        return min(_MOST, max(_FEWEST, sets, int(self.seconds / max(seconds, 1e-7))))


class HostClock(Clock):
    """The processor's own clock."""

    def eager(self, run: Timed, sets: int = 1) -> Times:
        warming = self._seconds(run, 0)
        samples = [self._seconds(run, n % sets) for n in range(self._count(warming, sets))]
        return Times.of([sample * 1e6 for sample in samples])

    def best(self, run: Timed, sets: int = 1) -> Times:
        return self.eager(run, sets)

    def _seconds(self, run: Timed, number: int) -> float:
        start = time.perf_counter()
        run(number)
        return time.perf_counter() - start


class DeviceClock(Clock):
    """Events on the GPU's stream."""

    def eager(self, run: Timed, sets: int = 1) -> Times:
        import torch

        for n in range(max(3, sets)):
            run(n % sets)
        (first,) = self._between([partial(run, 0)])
        count = self._count(first * 1e-6, sets)
        torch.cuda.synchronize()
        return Times.of(self._between([partial(run, n % sets) for n in range(count)]))

    def best(self, run: Timed, sets: int = 1) -> Times:
        plain = self.eager(run, sets)
        captured = self._captured(run, sets, plain.us)
        return plain if captured is None else replace(captured, eager_us=plain.us)

    def _captured(self, run: Timed, sets: int, us: float) -> Times | None:
        """Time replays of one graph that holds a few rounds over all sets; None if not possible."""
        import torch

        rounds = max(1, min(32, int(_REPLAY_US / max(us, 1.0) / sets)))
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                for n in range(rounds * sets):
                    run(n % sets)
            for _ in range(3):
                graph.replay()
            torch.cuda.synchronize()
        except RuntimeError:  # the call cannot be captured: keep its plain time
            torch.cuda.synchronize()
            return None
        count = self._count(us * 1e-6 * rounds * sets, 1)
        samples = self._between([graph.replay] * count)
        return Times.of([sample / rounds / sets for sample in samples], "graph")

    def _between(self, calls: Sequence[Callable[[], Any]]) -> list[float]:
        """Microseconds of each call, between two events; all calls are queued before waiting."""
        import torch

        event: Any = torch.cuda.Event
        pairs = []
        for call in calls:
            pair = [event(enable_timing=True) for _ in range(2)]
            pair[0].record()
            call()
            pair[1].record()
            pairs.append(pair)
        torch.cuda.synchronize()
        return [start.elapsed_time(end) * 1000 for start, end in pairs]
