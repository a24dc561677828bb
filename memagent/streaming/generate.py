"""Generating from a stream, one token at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from memagent.streaming.stream import Stream

__all__ = ["generate"]


def generate(
    stream: Stream,
    most: int,
    *,
    stop: frozenset[int] = frozenset(),
    temperature: float = 0.0,
    seed: int | None = None,
) -> Iterator[int]:
    """Yield up to `most` tokens, reading each into the stream; ends before a token of `stop`.

    Temperature 0 takes the most probable token. Raises ValueError if the stream has several rows or
    has read nothing.
    """
    if stream.logits is None or stream.rows != 1:
        raise ValueError("generation needs a stream of one row that has read at least one token")
    source = torch.Generator(stream.logits.device)
    if seed is not None:
        source.manual_seed(seed)
    for _ in range(most):
        logits = stream.logits[0].float()
        if temperature > 0:
            share = (logits / temperature).softmax(-1)
            token = int(torch.multinomial(share, 1, generator=source))
        else:
            token = int(logits.argmax())
        if token in stop:
            return
        yield token
        stream.read(torch.tensor([[token]]))
