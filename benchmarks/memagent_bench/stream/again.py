"""A passage read again: how many bits does a stream save that can recall its first reading?"""

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
    """Bits a token of a passage's second reading, `distance` tokens behind the first.

    Passages of half a window, one a row of the batch, from different places of the book; between
    the readings, other text of it. Without recall the passage is new again once it has left the
    window.
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
    """`count` tokens behind `start`, going on at the book's beginning behind its end."""
    import torch

    return torch.cat([ids[start:], ids, ids])[:count]
