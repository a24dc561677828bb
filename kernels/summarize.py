"""Mean, minimum and maximum of the keys of pages, in Triton; selectors score pages by them.

Sources: InfLLM (arXiv:2402.04617) for one key per block, Quest (arXiv:2406.10774) for the bounds.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from memagent.kernels.launch import jit, power_of_two
from memagent.kernels.layout import Summary

__all__ = ["summarize"]


@jit
def _summarize(
    keys: tl.tensor, pages: tl.tensor, page_lo: tl.tensor, page_hi: tl.tensor, mean: tl.tensor,
    low: tl.tensor, high: tl.tensor, kv_heads: tl.tensor, dim: tl.tensor, slots: tl.tensor,
    k_n: tl.tensor, k_h: tl.tensor, k_s: tl.tensor, k_d: tl.tensor, block_p: tl.constexpr,
    block_d: tl.constexpr,
) -> None:  # fmt: skip
    """A tile of dimensions of one head of one page, a few slots per step."""
    entry, head = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    d = tl.program_id(2) * block_d + tl.arange(0, block_d)
    slot = tl.arange(0, block_p)
    page = tl.load(pages + entry).to(tl.int64)
    lo = tl.maximum(tl.load(page_lo + entry), 0)
    hi = tl.where(page < 0, 0, tl.minimum(tl.load(page_hi + entry), slots))
    total = tl.zeros([block_d], tl.float32)
    least = tl.full([block_d], float("inf"), tl.float32)
    most = tl.full([block_d], float("-inf"), tl.float32)
    source = keys + page * k_n + head * k_h + d[None, :] * k_d
    for start in range(lo, hi, block_p):
        inside = (start + slot < hi)[:, None]
        fits = inside & (d < dim)[None, :]
        key = tl.load(source + (start + slot)[:, None] * k_s, mask=fits, other=0.0).to(tl.float32)
        total += tl.sum(key, 0)
        least = tl.minimum(least, tl.min(tl.where(inside, key, float("inf")), 0))
        most = tl.maximum(most, tl.max(tl.where(inside, key, float("-inf")), 0))
    some = lo < hi
    target = (entry * kv_heads + head) * dim + d
    kind = mean.dtype.element_ty
    count = tl.maximum(hi - lo, 1).to(tl.float32)
    tl.store(mean + target, (total / count).to(kind), mask=d < dim)
    tl.store(low + target, tl.where(some, least, 0.0).to(kind), mask=d < dim)
    tl.store(high + target, tl.where(some, most, 0.0).to(kind), mask=d < dim)


def summarize(k_pages: Tensor, pages: Tensor, page_lo: Tensor, page_hi: Tensor) -> Summary:
    """See `memagent.kernels.api.summarize_pages`."""
    count = pages.shape[0]
    _, kv_heads, slots, dim = k_pages.shape
    like: dict[str, Any] = {"dtype": k_pages.dtype, "device": k_pages.device}
    mean, low, high = (torch.empty((count, kv_heads, dim), **like) for _ in range(3))
    block_d = min(128, power_of_two(dim, least=1))
    _summarize[(count, kv_heads, triton.cdiv(dim, block_d))](
        k_pages, pages.contiguous(), page_lo.contiguous(), page_hi.contiguous(), mean, low, high,
        kv_heads, dim, slots, *k_pages.stride(),
        block_p=min(64, power_of_two(slots, least=1)), block_d=block_d,
    )  # fmt: skip
    return Summary(mean, low, high)
