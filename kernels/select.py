"""The exact k largest scores of a row, in Triton: the k-th largest is found bit by bit.

Floats are mapped to integers of the same order. 32 counts then determine the k-th largest, and a
running count writes the winners in order. Long rows are divided into pieces; the winners of the
pieces go through another round.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from memagent.kernels.launch import jit, power_of_two

__all__ = ["select"]

_CHUNK = 16384


@jit
def _select(
    scores: tl.tensor, out: tl.tensor, number: tl.tensor, k: tl.tensor, chunks: tl.tensor,
    chunk: tl.constexpr,
) -> None:  # fmt: skip
    """The winners of one piece of one row, ascending; unused places are not written."""
    row, piece = tl.program_id(0).to(tl.int64), tl.program_id(1)
    index = piece * chunk + tl.arange(0, chunk)
    value = tl.load(scores + row * number + index, mask=index < number, other=float("-inf"))
    value = value.to(tl.float32)
    # Treat -0.0 as 0.0. The bits of a negative float decrease as its value increases.
    bits = tl.where(value == 0, 0.0, value).to(tl.uint32, bitcast=True)
    key = bits ^ tl.where(bits >> 31 != 0, 0xFFFFFFFF, 0x80000000)
    key = tl.where(value > float("-inf"), key, 0)
    least = tl.min(key, 0) * 0
    for shift in tl.static_range(31, -1, -1):
        higher = least | (1 << shift)
        least = tl.where(tl.sum((key >= higher).to(tl.int32), 0) >= k, higher, least)
    above = key > least
    equal = (key == least) & (key > 0)
    room = k - tl.sum(above.to(tl.int32), 0)
    taken = above | (equal & (tl.cumsum(equal.to(tl.int32), 0) <= room))
    place = tl.cumsum(taken.to(tl.int32), 0) - 1
    tl.store(out + (row * chunks + piece) * k + place, index, mask=taken)


def select(scores: Tensor, k: int) -> Tensor:
    """See `memagent.kernels.api.select_pages`."""
    number = scores.shape[-1]
    rows = scores.reshape(-1, number).contiguous()
    # A piece has at least 2k scores, so that every round halves the row at least.
    chunk = min(power_of_two(number, least=1), max(_CHUNK, power_of_two(2 * k)))
    chunks = max(1, triton.cdiv(number, chunk))
    shape = (rows.shape[0], chunks * k)
    chosen = torch.full(shape, -1, dtype=torch.int32, device=scores.device)
    if number:
        _select[(rows.shape[0], chunks)](
            rows, chosen, number, k, chunks, chunk=chunk, num_warps=max(1, min(16, chunk // 256))
        )
    if chunks > 1:
        # Winners are in ascending order across pieces, so ties still go to the lower index.
        index = chosen.clamp(min=0).long()
        values = rows.gather(1, index).masked_fill(chosen < 0, float("-inf"))
        order = select(values, k)
        winners = chosen.gather(1, order.clamp(min=0).long())
        chosen = winners.masked_fill(order < 0, -1)
    return chosen.reshape(*scores.shape[:-1], k)
