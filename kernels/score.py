"""Scores of pages for queries, in Triton: one matrix product, or two for Quest's bound.

The bound is the sum of max(q x low, q x high) over the dimensions: the positive part of q times
high plus the negative part of q times low (Quest, arXiv:2406.10774).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from memagent.kernels.launch import jit, power_of_two, precision

__all__ = ["score"]

_PAGES = 64


@jit
def _score(
    rows: tl.tensor, high: tl.tensor, low: tl.tensor, out: tl.tensor, number: tl.tensor,
    kv_heads: tl.tensor, count: tl.tensor, h_b: tl.tensor, h_h: tl.tensor, h_n: tl.tensor,
    h_d: tl.tensor, l_b: tl.tensor, l_h: tl.tensor, l_n: tl.tensor, l_d: tl.tensor,
    dim: tl.constexpr, bound: tl.constexpr, single: tl.constexpr, keep: tl.constexpr,
    exact: tl.constexpr, block_r: tl.constexpr, block_n: tl.constexpr, block_d: tl.constexpr,
) -> None:  # fmt: skip
    """A tile of pages against all rows of a kv head; a single row needs no matrix product."""
    pair = tl.program_id(1).to(tl.int64)
    batch, head = pair // kv_heads, pair % kv_heads
    page = tl.program_id(0).to(tl.int64) * block_n + tl.arange(0, block_n)
    row, d = tl.arange(0, block_r), tl.arange(0, block_d)
    fits = (page < number)[:, None] & (d < dim)[None, :]
    at = high + batch * h_b + head * h_h + page[:, None] * h_n + d[None, :] * h_d
    upper = tl.load(at, mask=fits, other=0.0)
    lower = upper
    if bound:
        at = low + batch * l_b + head * l_h + page[:, None] * l_n + d[None, :] * l_d
        lower = tl.load(at, mask=fits, other=0.0)
    rows += pair * count * dim
    if single:
        q = tl.load(rows + d, mask=d < dim, other=0.0).to(tl.float32)[None, :]
        found = q * upper.to(tl.float32)
        if bound:
            found = tl.maximum(found, q * lower.to(tl.float32))
        best = tl.sum(found, 1)
    else:
        best = tl.full([block_n], float("-inf"), tl.float32)
        upper, lower = tl.trans(upper), tl.trans(lower)
        for start in range(0, count, block_r):
            there = start + row < count
            where = (start + row)[:, None] * dim + d[None, :]
            q = tl.load(rows + where, mask=there[:, None] & (d < dim)[None, :], other=0.0)
            if bound:
                above, below = tl.maximum(q, 0.0).to(q.dtype), tl.minimum(q, 0.0).to(q.dtype)
                found = tl.dot(above, upper, input_precision=exact)
                found = tl.dot(below, lower, found, input_precision=exact)
            else:
                found = tl.dot(q, upper, input_precision=exact)
            if keep:
                to = out + (pair * count + start + row)[:, None] * number + page[None, :]
                tl.store(to, found, mask=there[:, None] & (page < number)[None, :])
            best = tl.maximum(best, tl.max(tl.where(there[:, None], found, float("-inf")), 0))
    if not keep:
        tl.store(out + pair * number + page, best, mask=page < number)


def score(
    q: Tensor,
    mean: Tensor | None = None,
    low: Tensor | None = None,
    high: Tensor | None = None,
    *,
    reduce: str = "max",
) -> Tensor:
    """See `memagent.kernels.api.score_pages`."""
    upper = mean if mean is not None else high
    assert upper is not None
    lower = upper if low is None else low
    batch, kv_heads, number, dim = upper.shape
    rows = q.reshape(batch, kv_heads, -1, dim)
    if reduce == "mean":
        rows = rows.float().mean(2, keepdim=True)
    count = rows.shape[2]
    shape = (batch, kv_heads, count, number) if reduce == "none" else (batch, kv_heads, number)
    out = torch.empty(shape, dtype=torch.float32, device=q.device)
    _score[(triton.cdiv(number, _PAGES), batch * kv_heads)](
        rows.contiguous(), upper, lower, out, number, kv_heads, count,
        *upper.stride(), *lower.stride(),
        dim=dim, bound=low is not None, single=count == 1, keep=reduce == "none" and count > 1,
        exact=precision(q.dtype), block_r=min(64, power_of_two(count)), block_n=_PAGES,
        block_d=power_of_two(dim),
    )  # fmt: skip
    return out
