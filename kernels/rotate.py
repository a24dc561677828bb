"""Rotation of heads to their positions in Triton: `rope.rotate` with angles exact at any position.

Source: "RoFormer: Enhanced Transformer with Rotary Position Embedding", arXiv:2104.09864.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from memagent.kernels.angles import turned, turns_of
from memagent.kernels.launch import jit, power_of_two

__all__ = ["rotate"]

_ROWS = 16


@jit
def _rotate(
    x: tl.tensor, position: tl.tensor, turns: tl.tensor, out: tl.tensor, heads: tl.tensor,
    tokens: tl.tensor, x_b: tl.tensor, x_h: tl.tensor, x_t: tl.tensor, x_d: tl.tensor,
    dim: tl.constexpr, block_t: tl.constexpr, block_h: tl.constexpr,
) -> None:  # fmt: skip
    """A tile of tokens of one head."""
    pair = tl.program_id(1).to(tl.int64)
    batch, head = pair // heads, pair % heads
    token = tl.program_id(0).to(tl.int64) * block_t + tl.arange(0, block_t)
    half = tl.arange(0, block_h)
    fits = (token < tokens)[:, None] & (half < dim // 2)[None, :]
    at = tl.load(position + batch * tokens + token, mask=token < tokens, other=0).to(tl.int64)
    turn = tl.load(turns + half, mask=half < dim // 2, other=0)
    source = x + batch * x_b + head * x_h + token[:, None] * x_t + half[None, :] * x_d
    first, second = turned(source, dim // 2 * x_d, fits, at[:, None] * turn[None, :])
    target = out + (pair * tokens + token[:, None]) * dim + half[None, :]
    kind = out.dtype.element_ty
    tl.store(target, first.to(kind), mask=fits)
    tl.store(target + dim // 2, second.to(kind), mask=fits)


def rotate(x: Tensor, position: Tensor, inv_freq: Tensor) -> Tensor:
    """See `memagent.kernels.api.rotate_heads`."""
    batch, heads, tokens, dim = x.shape
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    _rotate[(triton.cdiv(tokens, _ROWS), batch * heads)](
        x, position.contiguous(), turns_of(inv_freq), out, heads, tokens, *x.stride(),
        dim=dim, block_t=_ROWS, block_h=power_of_two(dim // 2, least=1),
    )  # fmt: skip
    return out
