"""Online detection of event boundaries in a stream of token surprises.

Source: "Human-like Episodic Memory for Infinite Context LLMs" (EM-LLM), arXiv:2407.09450.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["Boundaries"]


@dataclass(slots=True)
class Boundaries:
    """Decides for each surprise (in nats) whether its token begins an event.

    A token begins an event if its surprise exceeds mean + gamma × standard deviation of the
    previous `tau` surprises and the current event has at least `least` tokens. It always does if
    the current event has `most` tokens. The state consists of `seen`, the last `tau` surprises,
    and `size`, the number of tokens in the current event.
    """

    gamma: float = 1.0
    tau: int = 256
    least: int = 8
    most: int = 128
    seen: deque[float] = field(default_factory=deque)
    size: int = 0

    def __post_init__(self) -> None:
        if not (self.tau >= 2 and 1 <= self.least <= self.most):
            raise ValueError("boundaries need tau >= 2 and 1 <= least <= most")
        self.seen = deque(self.seen, maxlen=self.tau)

    def push(self, surprise: float) -> bool:
        """Add the surprise of the next token; returns whether that token begins an event."""
        begins = self.size == 0 or self.size >= self.most
        if not begins and self.size >= self.least:
            begins = surprise > self.threshold()
        if math.isfinite(surprise):
            self.seen.append(surprise)
        self.size = 1 if begins else self.size + 1
        return begins

    def cut(self) -> None:
        """End the current event, as at the end of a turn, role or section."""
        self.size = 0

    def threshold(self) -> float:
        """The threshold for the next surprise; infinite after fewer than two surprises."""
        count = len(self.seen)
        if count < 2:
            return math.inf
        mean = math.fsum(self.seen) / count
        variance = math.fsum((s - mean) ** 2 for s in self.seen) / count
        return mean + self.gamma * math.sqrt(variance)

    def copy(self) -> Boundaries:
        """An independent copy."""
        return self.resumed(self.seen, self.size)

    def resumed(self, seen: Iterable[float], size: int) -> Boundaries:
        """The same parameters with another state."""
        return Boundaries(self.gamma, self.tau, self.least, self.most, deque(seen), size)
