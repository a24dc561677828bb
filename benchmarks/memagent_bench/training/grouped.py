"""Landmark Attention for training: the grouped softmax of arXiv:2305.16300, forward and backward.

A query distributes its weight over the tokens of its own block and the landmarks of earlier blocks;
the weight of a landmark is distributed within its block, and landmarks contribute no value. In long
texts a query sees no more blocks than a stream would read for it. The softmax is computed here, one
block of queries at a time; on a GPU by the kernels of the package, except for recalled blocks.
Knows nothing of models: it registers a function by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface

from memagent.streaming.selectors.landmark import with_neighbours
from memagent_bench.training.blocks import BLOCK
from memagent_bench.training.choice import Chooser

__all__ = ["GROUPED", "register"]

GROUPED = "grouped"
# Less than in a stream, so that a landmark is found for itself and not with its neighbour.
BESIDE = 0.5


class _Grouped(torch.autograd.Function):
    """Queries [rows, group, time, dim], values and keys [rows, time, dim]; a row is a kv head.

    There is one tensor of keys, or three: as rotated in the query's own block, in the previous
    block, and in earlier ones. A query sees `read` blocks, including its own; 0 means all.
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)
    def forward(
        ctx: Any, read: int, batch: int, queries: Tensor, values: Tensor, *keys: Tensor
    ) -> Tensor:
        rows, group, time, dim = queries.shape
        nothing = float("-inf")
        future = queries.new_full((BLOCK, BLOCK), nothing).triu(1)
        future[:, -1] = nothing  # the landmark of the query's own block contributes nothing
        out = torch.empty_like(queries)
        kept = []
        for start in range(0, time, BLOCK):
            end = min(start + BLOCK, time)
            size, far = end - start, start // BLOCK
            block = queries[:, :, start:end].reshape(rows, group * size, dim)
            scores = block @ _seen(keys, start, end).transpose(1, 2)
            scores[:, :, start:] += future[:size, :size].repeat(group, 1)
            inside = scores[:, :, :start].view(rows, group * size, far, BLOCK)
            if 0 < read <= far:
                _close(inside[..., -1].view(batch, -1, group, size, far), read)
            # Weights of the earlier landmarks, then of the tokens of the query's own block.
            outer = torch.softmax(torch.cat((inside[..., -1], scores[:, :, start:]), -1), -1)
            inside[..., -1] = nothing
            inside = torch.softmax(inside, -1)
            kept += [outer, inside]
            probs = (inside * outer[:, :, :far, None]).flatten(2)
            found = probs @ values[:, :start]
            found += outer[:, :, far:] @ values[:, start:end]
            out[:, :, start:end] = found.view(rows, group, size, dim)
        ctx.save_for_backward(queries, values, *keys, *kept)
        ctx.keys = len(keys)
        return out

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        queries, values, *others = ctx.saved_tensors
        keys, kept = others[: ctx.keys], others[ctx.keys :]
        rows, group, time, dim = queries.shape
        d_queries = torch.empty_like(queries)
        d_values, d_keys = torch.zeros_like(values), [torch.zeros_like(key) for key in keys]
        for start in range(0, time, BLOCK):
            end = min(start + BLOCK, time)
            far = start // BLOCK
            outer, inside = kept[2 * far : 2 * far + 2]
            flat = (rows, group * (end - start), dim)
            block = queries[:, :, start:end].reshape(flat)
            grad = grads[0][:, :, start:end].reshape(flat)
            weights = outer[:, :, :far, None]
            shared = torch.cat(((inside * weights).flatten(2), outer[:, :, far:]), -1)
            d_values[:, :end] += shared.transpose(1, 2) @ grad
            d_shared = grad @ values[:, :end].transpose(1, 2)
            d_inside = d_shared[:, :, :start].view(inside.shape)
            gate = (inside * d_inside).sum(-1)  # what a landmark's weight would gain
            d_outer = torch.cat((gate, d_shared[:, :, start:]), -1)
            d_outer = torch._softmax_backward_data(d_outer, outer, -1, outer.dtype)
            d_far = inside * weights * (d_inside - gate[..., None])
            d_far[..., -1] = d_outer[:, :, :far]
            d_scores = torch.cat((d_far.flatten(2), d_outer[:, :, far:]), -1)
            shaped = (rows, group, end - start, dim)
            d_queries[:, :, start:end] = (d_scores @ _seen(keys, start, end)).view(shaped)
            found = d_scores.transpose(1, 2) @ block
            for d_key, (first, last) in zip(d_keys, _spans(len(keys), start, end), strict=True):
                d_key[:, first:last] += found[:, first:last]
        return None, None, d_queries, d_values, *d_keys


def _close(gates: Tensor, read: int) -> None:
    """Close the gates [batch, kv heads, group, size, far] that a stream would not open, in place.

    The heads of a token read `read` blocks: its own, the previous one, and those that get the most
    weight from all heads together.
    """
    share = torch.softmax(gates, -1).amax(2).sum(1)
    share = with_neighbours(share, BESIDE)
    share[..., -1] = float("inf")
    least = share.topk(read - 1, -1).values[..., -1:]
    gates.masked_fill_((share < least)[:, None, None], float("-inf"))


def _spans(count: int, start: int, end: int) -> list[tuple[int, int]]:
    """Which tokens of each of `count` tensors of keys the queries of a block [start, end) see."""
    if count == 1:
        return [(0, end)]
    before = max(start - BLOCK, 0)
    return [(start, end), (before, start), (0, before)]


def _seen(keys: Sequence[Tensor], start: int, end: int) -> Tensor:
    """The keys [rows, end, dim] that the queries of a block [start, end) see."""
    spans = zip(keys, _spans(len(keys), start, end), strict=True)
    parts = [key[:, first:last] for key, (first, last) in spans]
    return parts[0] if len(parts) == 1 else torch.cat(parts[::-1], 1)


def _moved(key: Tensor, by: Tensor, inv_freq: Tensor) -> Tensor:
    """Keys [batch, heads, time, dim] rotated by another `by` [batch or 1, blocks] positions."""
    by = by.repeat_interleave(BLOCK, 1)[:, None, : key.shape[2], None]
    angle = by.double() * inv_freq.double()
    cos, sin = angle.cos().to(key.dtype), angle.sin().to(key.dtype)
    left, right = key.chunk(2, -1)
    return torch.cat((left * cos - right * sin, right * cos + left * sin), -1)


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    far: Tensor | None = None,
    inv_freq: Tensor | None = None,
    read: int = 0,
    chooser: Chooser | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """The function that transformers calls; it swaps time and heads in its output.

    Takes [batch, heads, time, dim], returns [batch, time, heads, dim]. With `far` [batch, blocks]
    every block reads at the same positions, is one block lower for the next block, and is moved by
    `far` for later ones, as when a stream recalls `read` blocks at a time. The `chooser` computes
    its loss from the queries and keys of its layer.
    """
    if attention_mask is not None:
        raise ValueError("sequences are full: there is nothing to mask")
    keys = [key]
    if far is not None and inv_freq is not None:
        before = torch.full_like(far[:1], -BLOCK)
        keys += [_moved(key, before, inv_freq), _moved(key, far, inv_freq)]
        if chooser is not None and chooser.layer == module.layer_idx:
            chooser.weigh(query * scaling, keys[-1])
    if not query.is_cuda:
        return _blocked(query, keys, value, scaling, read), None
    # Under autocast the rotary embedding returns float32 queries and keys.
    query, *keys = (part.to(value.dtype) for part in (query, *keys))
    with torch.autocast("cuda", enabled=False):
        if far is not None:
            return _blocked(query, keys, value, scaling, read), None
        from memagent.kernels.api import landmark_attention

        return landmark_attention(query, *keys, value, BLOCK, scaling).transpose(1, 2), None


def _blocked(query: Tensor, keys: list[Tensor], value: Tensor, scaling: float, read: int) -> Tensor:
    batch, heads, time, dim = query.shape
    kv_heads = value.shape[1]
    out: Tensor = _Grouped.apply(
        read,
        batch,
        (query * scaling).reshape(batch * kv_heads, heads // kv_heads, time, dim),
        value.reshape(batch * kv_heads, time, dim),
        *(part.reshape(batch * kv_heads, time, dim) for part in keys),
    )
    return out.view(batch, heads, time, dim).transpose(1, 2)


def register() -> str:
    """Register the function with transformers; return its name for `attn_implementation`."""
    AttentionInterface.register(GROUPED, _attend)
    return GROUPED
