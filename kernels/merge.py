"""Merging partial attention states over disjoint keys, in Triton.

The last step of attention that is split among programs (Flash-Decoding, PyTorch blog 2023). The
sum is that of "Online normalizer calculation for softmax", arXiv:1805.02867.
"""

from __future__ import annotations

import torch
import triton.language as tl
from torch import Tensor

from memagent.kernels.launch import jit, power_of_two

__all__ = ["merge"]

_AT_ONCE = 32


@jit
def _merge(
    outs: tl.tensor, lses: tl.tensor, out: tl.tensor, lse: tl.tensor, rows: tl.tensor,
    parts: tl.tensor, dim: tl.tensor, block_s: tl.constexpr, block_d: tl.constexpr,
) -> None:  # fmt: skip
    """One row: a few parts at a time, rescaled to the largest lse so far."""
    row = tl.program_id(0).to(tl.int64)
    part, d = tl.arange(0, block_s), tl.arange(0, block_d)
    top = tl.max(tl.full([block_s], float("-inf"), tl.float32), 0)
    total = tl.sum(tl.zeros([block_s], tl.float32), 0)
    acc = tl.zeros([block_d], tl.float32)
    for start in range(0, parts, block_s):
        at = (start + part).to(tl.int64) * rows + row
        weight = tl.load(lses + at, mask=start + part < parts, other=float("-inf")).to(tl.float32)
        found = weight > float("-inf")
        value = tl.load(
            outs + at[:, None] * dim + d[None, :],
            mask=found[:, None] & (d < dim)[None, :],
            other=0.0,
        ).to(tl.float32)
        newer = tl.maximum(top, tl.max(weight, 0))
        level = tl.where(newer > float("-inf"), newer, 0.0)
        share = tl.exp(weight - level)
        keep = tl.exp(top - level)
        acc = acc * keep + tl.sum(value * share[:, None], 0)
        total = total * keep + tl.sum(share, 0)
        top = newer
    some = total > 0
    whole = tl.where(some, total, 1.0)
    kind = out.dtype.element_ty
    tl.store(out + row * dim + d, (acc / whole).to(kind), mask=d < dim)
    tl.store(lse + row, tl.where(some, top + tl.log(whole), float("-inf")))


def merge(outs: Tensor, lses: Tensor, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
    """See `memagent.kernels.api.merge_states`; `dtype` is the result's, by default that of outs."""
    parts, *shape, dim = outs.shape
    out = torch.empty((*shape, dim), dtype=dtype or outs.dtype, device=outs.device)
    lse = torch.empty(shape, dtype=torch.float32, device=outs.device)
    rows = lse.numel()
    _merge[(rows,)](
        outs.contiguous(), lses.contiguous(), out, lse, rows, parts, dim,
        block_s=min(_AT_ONCE, power_of_two(parts, least=1)), block_d=power_of_two(dim, least=1),
    )  # fmt: skip
    return out, lse
