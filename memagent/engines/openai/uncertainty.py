"""The entropy of the first token of an answer, from the log-probabilities that a server sends."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

__all__ = ["TOP", "FirstToken", "entropy"]

TOP = 20  # log-probabilities per token; vLLM refuses more unless it is configured otherwise


def entropy(logprobs: Iterable[float]) -> float:
    """The entropy in nats of a distribution of which the likeliest `TOP` outcomes are known.

    All others count as one outcome, so it is never above that of the whole distribution.
    """
    known = sorted(map(math.exp, logprobs), reverse=True)[:TOP]
    rest = 1.0 - sum(known)
    return sum(-p * math.log(p) for p in (*known, rest) if p > 0)


class FirstToken:
    """The uncertainty of the first token, which may arrive before any text."""

    def __init__(self) -> None:
        self._known = False
        self._nats: float | None = None

    def read(self, logprobs: Any) -> None:
        """Take it from the `logprobs` of a choice, in the form of chat or of completions."""
        if self._known or not isinstance(logprobs, dict):
            return
        try:
            if logprobs.get("content"):
                values = [float(top["logprob"]) for top in logprobs["content"][0]["top_logprobs"]]
            else:
                values = [float(value) for value in logprobs["top_logprobs"][0].values()]
            if values:
                self._nats, self._known = entropy(values), True
        except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError):
            return

    def take(self) -> float | None:
        """The uncertainty in nats, once; None before it is known and after it was taken."""
        nats, self._nats = self._nats, None
        return nats
