"""Bits saved on the second reading of a passage by recalling the first reading."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from memagent_bench.stream.setup import Subject, compared

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["read_again"]

SELECTORS = ("recent", "representative", "mean", "minmax", "per_head", "oracle")


def read_again(
    subject: Subject,
    ids: Tensor,
    distances: Sequence[int],
    tell: Callable[[str], None],
    *,
    passages: int = 4,
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Bits per token of a passage read a second time, `distance` tokens after the first reading.

    Each row of the batch is a passage of half a window from a different part of the book; other
    parts of the book are read in between. Without recall, a passage that has left the window is as
    surprising as at the first reading.
    """
    import torch

    size = subject.window // 2
    span = ids.shape[1] - size
    rows, metrics = [], {}
    for distance in distances:
        starts = [span * n // passages for n in range(passages)]
        passage = torch.cat([ids[:, s : s + size] for s in starts])
        between = torch.stack([_other(ids[0], s + size, distance) for s in starts])
        row: dict[str, Any] = {"measure": "read again", "distance": distance}
        for selector in compared(SELECTORS, distance):
            tell(f"a passage read again {distance:,} tokens later: {selector}")
            stream = subject.stream(selector, rows=passages)
            first = stream.read(passage)
            stream.read(between)
            second = stream.read(passage)
            row["first reading"] = round(float(first.nanmean()) / math.log(2), 4)
            row[selector] = round(float(second.mean()) / math.log(2), 4)
            metrics[f"again_{selector}@{distance}"] = row[selector]
        rows.append(row)
    return rows, metrics


def _other(ids: Tensor, start: int, count: int) -> Tensor:
    """`count` tokens from `start`, wrapping around at the end of the book."""
    import torch

    return torch.cat([ids[start:], ids, ids])[:count]
