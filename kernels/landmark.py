"""Landmark Attention for training in Triton, forward and backward (arXiv:2305.16300).

A tile of keys is one block of tokens with its landmark, padded to a power of two. Nothing larger
than a tile is stored: the backward pass recomputes the weights from lse, as FlashAttention-2 does
(arXiv:2307.08691), once by tiles of queries for dQ and once by blocks of keys for dK and dV.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from memagent.kernels.launch import jit, power_of_two, precision

__all__ = ["constants", "landmark", "options"]

_LOG2E = math.log2(math.e)


@jit
def _logits(
    s: tl.tensor, query: tl.tensor, at: tl.tensor, tokens: tl.tensor, turn: tl.tensor,
    block: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """Grouped logits of a tile [queries, one block], and the parts that the gradient needs.

    Returns the logits (-inf where invisible), the landmark's logit of each query, which queries
    are in later blocks, the softmax inside the block, and which column is the landmark.
    """
    marks = (at == block - 1)[None, :]
    token = turn * block + at
    own = query // block == turn
    later = query // block > turn
    seen = (at < block - 1)[None, :] & (token[None, :] <= query[:, None])
    seen = seen & (token < tokens)[None, :] & (own | later)[:, None]
    gate = tl.sum(tl.where(marks, s, 0.0), 1)
    s = tl.where(seen, s, float("-inf"))
    top = tl.max(s, 1)
    top = tl.where(top > float("-inf"), top, 0.0)
    inside = tl.exp2(s - top[:, None])
    whole = tl.sum(inside, 1)
    whole = tl.where(whole > 0, whole, 1.0)
    shift = tl.where(later, gate - top - tl.log2(whole), 0.0)
    return s + shift[:, None], gate, later, inside / whole[:, None], marks


@jit
def _forward(
    q: tl.tensor, k: tl.tensor, v: tl.tensor, out: tl.tensor, lse: tl.tensor, scale: tl.tensor,
    tokens: tl.tensor, share: tl.constexpr, dim: tl.constexpr,
    block: tl.constexpr, exact: tl.constexpr, block_q: tl.constexpr, block_k: tl.constexpr,
    block_d: tl.constexpr,
) -> None:  # fmt: skip
    """A tile of queries over its own and earlier blocks; lse in base 2."""
    tile, pair = tl.program_id(0), tl.program_id(1).to(tl.int64)
    query, at, d = (
        tile * block_q + tl.arange(0, block_q),
        tl.arange(0, block_k),
        tl.arange(0, block_d),
    )
    base = pair * tokens * dim
    source = pair // share * tokens * dim
    rows = (query < tokens)[:, None] & (d < dim)[None, :]
    mine = tl.load(q + base + query[:, None] * dim + d[None, :], mask=rows, other=0.0)
    top = tl.full([block_q], float("-inf"), tl.float32)
    total = tl.zeros([block_q], tl.float32)
    acc = tl.zeros([block_q, block_d], tl.float32)
    last = tl.minimum((tile + 1) * block_q, tokens)
    for turn in range(0, (last + block - 1) // block):
        token = turn * block + at
        fits = ((at < block) & (token < tokens))[:, None] & (d < dim)[None, :]
        place = source + token[:, None] * dim + d[None, :]
        key = tl.load(k + place, mask=fits, other=0.0)
        value = tl.load(v + place, mask=fits, other=0.0)
        s = tl.dot(mine, tl.trans(key), input_precision=exact) * scale
        s, _, _, _, _ = _logits(s, query, at, tokens, turn, block)
        higher = tl.maximum(top, tl.max(s, 1))
        level = tl.where(higher > float("-inf"), higher, 0.0)
        p = tl.exp2(s - level[:, None])
        keep = tl.exp2(top - level)
        acc = tl.dot(p.to(value.dtype), value, acc * keep[:, None], input_precision=exact)
        total = total * keep + tl.sum(p, 1)
        top = higher
    whole = tl.where(total > 0, total, 1.0)
    found = (acc / whole[:, None]).to(out.dtype.element_ty)
    tl.store(out + base + query[:, None] * dim + d[None, :], found, mask=rows)
    of_all = tl.where(total > 0, top + tl.log2(whole), 0.0)
    tl.store(lse + pair * tokens + query, of_all, mask=query < tokens)


@jit
def _weights(
    s: tl.tensor, dp: tl.tensor, of_all: tl.tensor, delta: tl.tensor, query: tl.tensor,
    at: tl.tensor, tokens: tl.tensor, turn: tl.tensor, block: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """Weights of a tile and the gradient of its logits, the landmark's own in its column.

    Own block: ds = p (dp - delta). Earlier block b of weight w: ds = w r (dp - D), D = sum r dp,
    and the landmark's logit gets w (D - delta).
    """
    logits, gate, later, r, marks = _logits(s, query, at, tokens, turn, block)
    live = (query < tokens)[:, None]
    p = tl.where(live, tl.exp2(logits - of_all[:, None]), 0.0)
    mean = tl.sum(r * dp, 1)
    far = later & (query < tokens)
    weight = tl.exp2(tl.where(far, gate - of_all, float("-inf")))
    ds = p * (dp - tl.where(later, mean, delta)[:, None])
    return p, tl.where(marks, (weight * (mean - delta))[:, None], ds)


@jit
def _backward_q(
    q: tl.tensor, k: tl.tensor, v: tl.tensor, do: tl.tensor, lse: tl.tensor, deltas: tl.tensor,
    dq: tl.tensor, scale: tl.tensor, back: tl.tensor, tokens: tl.tensor,
    share: tl.constexpr, dim: tl.constexpr, block: tl.constexpr, exact: tl.constexpr,
    block_q: tl.constexpr, block_k: tl.constexpr, block_d: tl.constexpr,
) -> None:  # fmt: skip
    """dQ of a tile of queries, over its own and earlier blocks."""
    tile, pair = tl.program_id(0), tl.program_id(1).to(tl.int64)
    query, at, d = (
        tile * block_q + tl.arange(0, block_q),
        tl.arange(0, block_k),
        tl.arange(0, block_d),
    )
    base = pair * tokens * dim
    source = pair // share * tokens * dim
    rows = (query < tokens)[:, None] & (d < dim)[None, :]
    own = base + query[:, None] * dim + d[None, :]
    mine, got = tl.load(q + own, mask=rows, other=0.0), tl.load(do + own, mask=rows, other=0.0)
    of_all = tl.load(lse + pair * tokens + query, mask=query < tokens, other=0.0)
    delta = tl.load(deltas + pair * tokens + query, mask=query < tokens, other=0.0)
    acc = tl.zeros([block_q, block_d], tl.float32)
    last = tl.minimum((tile + 1) * block_q, tokens)
    for turn in range(0, (last + block - 1) // block):
        token = turn * block + at
        fits = ((at < block) & (token < tokens))[:, None] & (d < dim)[None, :]
        place = source + token[:, None] * dim + d[None, :]
        key = tl.load(k + place, mask=fits, other=0.0)
        value = tl.load(v + place, mask=fits, other=0.0)
        s = tl.dot(mine, tl.trans(key), input_precision=exact) * scale
        dp = tl.dot(got, tl.trans(value), input_precision=exact)
        _, ds = _weights(s, dp, of_all, delta, query, at, tokens, turn, block)
        acc = tl.dot(ds.to(key.dtype), key, acc, input_precision=exact)
    tl.store(dq + own, (acc * back).to(dq.dtype.element_ty), mask=rows)


@jit
def _backward_kv(
    q: tl.tensor, k: tl.tensor, v: tl.tensor, do: tl.tensor, lse: tl.tensor, deltas: tl.tensor,
    dk: tl.tensor, dv: tl.tensor, scale: tl.tensor, back: tl.tensor,
    tokens: tl.tensor, share: tl.constexpr, dim: tl.constexpr, block: tl.constexpr,
    exact: tl.constexpr, block_q: tl.constexpr, block_k: tl.constexpr, block_d: tl.constexpr,
) -> None:  # fmt: skip
    """dK and dV of one block, over the tiles of queries from it on, head by head of its group."""
    turn, pair = tl.program_id(0), tl.program_id(1).to(tl.int64)
    at, d = tl.arange(0, block_k), tl.arange(0, block_d)
    token = turn * block + at
    fits = ((at < block) & (token < tokens))[:, None] & (d < dim)[None, :]
    place = pair * tokens * dim + token[:, None] * dim + d[None, :]
    key, value = tl.load(k + place, mask=fits, other=0.0), tl.load(v + place, mask=fits, other=0.0)
    acc_k = tl.zeros([block_k, block_d], tl.float32)
    acc_v = tl.zeros([block_k, block_d], tl.float32)
    for head in range(0, share):
        line = (pair * share + head) * tokens
        for start in range(turn * block // block_q * block_q, tokens, block_q):
            query = start + tl.arange(0, block_q)
            rows = (query < tokens)[:, None] & (d < dim)[None, :]
            own = line * dim + query[:, None] * dim + d[None, :]
            mine = tl.load(q + own, mask=rows, other=0.0)
            got = tl.load(do + own, mask=rows, other=0.0)
            of_all = tl.load(lse + line + query, mask=query < tokens, other=0.0)
            delta = tl.load(deltas + line + query, mask=query < tokens, other=0.0)
            s = tl.dot(mine, tl.trans(key), input_precision=exact) * scale
            dp = tl.dot(got, tl.trans(value), input_precision=exact)
            p, ds = _weights(s, dp, of_all, delta, query, at, tokens, turn, block)
            acc_v = tl.dot(tl.trans(p.to(got.dtype)), got, acc_v, input_precision=exact)
            acc_k = tl.dot(tl.trans(ds.to(mine.dtype)), mine, acc_k, input_precision=exact)
    tl.store(dk + place, (acc_k * back).to(dk.dtype.element_ty), mask=fits)
    tl.store(dv + place, acc_v.to(dv.dtype.element_ty), mask=fits)


def constants(share: int, dim: int, block: int, dtype: torch.dtype) -> dict[str, Any]:
    """The compile-time constants of the kernels."""
    return {
        "share": share, "dim": dim, "block": block, "exact": precision(dtype),
        "block_q": 16 if dtype == torch.float32 else 64,
        "block_k": power_of_two(block), "block_d": power_of_two(dim),
    }  # fmt: skip


def options(dim: int) -> dict[str, int]:
    """The compiler's options."""
    return {"num_warps": 4 if dim <= 64 else 8, "num_stages": 2}


class _Landmark(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, block: int, scale: float) -> Tensor:
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
        batch, heads, tokens, dim = q.shape
        out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
        lse = torch.empty((batch, heads, tokens), dtype=torch.float32, device=q.device)
        sizes = constants(heads // k.shape[1], dim, block, q.dtype)
        launch = options(dim)
        _forward[(triton.cdiv(tokens, sizes["block_q"]), batch * heads)](
            q, k, v, out, lse, scale * _LOG2E, tokens, **sizes, **launch
        )
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.sizes, ctx.options, ctx.scale = sizes, launch, scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, got: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, lse = ctx.saved_tensors
        batch, heads, tokens, _ = q.shape
        got = got.contiguous()
        delta = (got.float() * out.float()).sum(-1)
        dq, dk, dv = (torch.empty(t.shape, dtype=t.dtype, device=t.device) for t in (q, k, v))
        shared = (q, k, v, got, lse, delta)
        rest = (ctx.scale * _LOG2E, ctx.scale, tokens)
        sizes, launch = ctx.sizes, ctx.options
        tiles, blocks = (triton.cdiv(tokens, sizes[side]) for side in ("block_q", "block"))
        _backward_q[(tiles, batch * heads)](*shared, dq, *rest, **sizes, **launch)
        _backward_kv[(blocks, batch * k.shape[1])](*shared, dk, dv, *rest, **sizes, **launch)
        return dq, dk, dv, None, None


def landmark(q: Tensor, k: Tensor, v: Tensor, block: int, scale: float) -> Tensor:
    """See `memagent.kernels.api.landmark_attention`."""
    out: Tensor = _Landmark.apply(q, k, v, block, scale)  # type: ignore[no-untyped-call]
    return out
