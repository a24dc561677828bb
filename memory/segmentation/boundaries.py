"""Where events begin in a stream of surprises: online, one number a token.

Source: "Human-like Episodic Memory for Infinite Context LLMs" (EM-LLM), arXiv:2407.09450. Knows
nothing of tokens, texts or models.
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

    It does where the surprise exceeds mean + gamma × standard deviation of the `tau` before it
    and the running event holds `least` tokens already, and where it holds `most`. `seen` are the
    last `tau` surprises and `size` the tokens of the running event: the whole state.
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
        """Take the next token's surprise; True if the token begins an event."""
        begins = self.size == 0 or self.size >= self.most
        if not begins and self.size >= self.least:
            begins = surprise > self.threshold()
        if math.isfinite(surprise):
            self.seen.append(surprise)
        self.size = 1 if begins else self.size + 1
        return begins

    def cut(self) -> None:
        """The next token begins an event whatever its surprise: a turn, role or section ended."""
        self.size = 0

    def threshold(self) -> float:
        """What the next surprise has to exceed; infinite behind fewer than two."""
        count = len(self.seen)
        if count < 2:
            return math.inf
        mean = math.fsum(self.seen) / count
        variance = math.fsum((s - mean) ** 2 for s in self.seen) / count
        return mean + self.gamma * math.sqrt(variance)

    def copy(self) -> Boundaries:
        """The same state, apart from this one."""
        return self.resumed(self.seen, self.size)

    def resumed(self, seen: Iterable[float], size: int) -> Boundaries:
        """The same rule with another state."""
        return Boundaries(self.gamma, self.tau, self.least, self.most, deque(seen), size)
