"""Attention over pages in vectorised PyTorch: gather the pages, then a few matrix products.

The implementation for machines without a GPU; runs on every PyTorch device.
"""

from __future__ import annotations

import torch
from torch import Tensor

from memagent.kernels.layout import Attended, AttentionParams, PageList
from memagent.kernels.rope import cos_sin, turn

__all__ = ["attend", "score", "select"]

_NEG_INF = float("-inf")
# From this many queries (tokens x heads per kv head) on, rotating the keys is cheaper than
# rotating the queries once per page.
_MANY = 64
# Floats in one block of logits; larger inputs are processed in several blocks of queries.
_BLOCK_FLOATS = 1 << 24


def attend(
    q: Tensor,
    q_pos: Tensor,
    k_pages: Tensor,
    v_pages: Tensor,
    page_list: PageList,
    params: AttentionParams,
    *,
    mass: bool = True,
) -> Attended:
    """See `memagent.kernels.api.attend_pages`."""
    batch, heads, tokens, _ = q.shape
    kv_heads, slots = k_pages.shape[1:3]
    pages, page_pos, groups = page_list.pages, page_list.page_pos, page_list.groups
    count = pages.shape[2]
    exact = torch.promote_types(q.dtype, torch.float32)
    keys, values = (_gather(t, pages, kv_heads, exact) for t in (k_pages, v_pages))
    first = q_pos[:, :1]
    slot = torch.arange(slots, device=q.device)
    position = (page_pos - first[:, None])[..., None] + slot  # relative to the first query
    inside = (slot >= page_list.page_lo[..., None]) & (slot < page_list.page_hi[..., None])
    inside &= (pages >= 0)[..., None]
    group = page_list.page_group.clamp(0, groups - 1).long()
    bias = page_list.group_bias.to(exact).gather(2, group)
    logits_of = _rotate_keys if heads // kv_heads * tokens >= _MANY else _rotate_queries
    outs, lses, sums = [], [], []
    step = max(1, _BLOCK_FLOATS // max(1, batch * heads * count * slots))
    for start in range(0, tokens, step):
        part = q[:, :, start : start + step].to(exact)
        at = q_pos[:, start : start + step] - first
        logits = logits_of(part, at, keys, page_pos - first[:, None], params.inv_freq)
        logits.mul_(params.scale)
        if params.softcap is not None:
            logits.div_(params.softcap).tanh_().mul_(params.softcap)
        distance = at[:, None, :, None, None] - position[:, :, None]
        seen = inside[:, :, None] & (distance >= 0)
        if params.window is not None:
            seen &= distance < params.window
        weight, lse = _softmax(logits, seen, bias, group, params.landmark_slot)
        outs.append(_weighted_sum(weight, values, inside))
        lses.append(lse)
        if mass:
            sums.append(_sum_by_group(weight, group, groups))
    lse = torch.cat(lses, dim=2)
    group_mass = None
    if mass:
        total = torch.cat(sums, dim=2).sum(2)
        group_mass = total / (lse > _NEG_INF).sum(-1, keepdim=True).clamp(min=1)
    return Attended(torch.cat(outs, dim=2).to(q.dtype), lse, group_mass)


def _gather(store: Tensor, pages: Tensor, kv_heads: int, exact: torch.dtype) -> Tensor:
    """The listed pages as [B, Hkv, M, P, D]; whole rows are copied, which is fastest."""
    _, _, slots, dim = store.shape
    head = torch.arange(kv_heads, device=store.device)[None, :, None]
    rows = pages.clamp(min=0).long() * kv_heads + head
    flat = store.reshape(-1, slots * dim).index_select(0, rows.reshape(-1))
    return flat.view(*rows.shape, slots, dim).to(exact)


def _weighted_sum(weight: Tensor, values: Tensor, inside: Tensor) -> Tensor:
    """Sum of the values [B, Hkv, M, P, D] with weights [B, Hkv, R, T, M, P]: [B, Hq, T, D].

    Slots outside [lo, hi) may hold NaN, and 0 x NaN is NaN. They are zeroed only if the result is
    not finite, since zeroing them costs as much as the gather.
    """
    batch, kv_heads, ratio, tokens, count, slots = weight.shape
    flat = weight.reshape(batch, kv_heads, ratio * tokens, count * slots)
    shape = (batch, kv_heads, count * slots, values.shape[-1])
    out = flat @ values.reshape(shape)
    if not out.isfinite().all():
        out = flat @ values.masked_fill(~inside[..., None], 0).reshape(shape)
    return out.view(batch, kv_heads * ratio, tokens, values.shape[-1])


def _rotate_queries(q: Tensor, at: Tensor, keys: Tensor, pos: Tensor, inv_freq: Tensor) -> Tensor:
    """Logits [B, Hkv, R, T, M, P] by rotating each query once per page."""
    batch, kv_heads, count, slots, dim = keys.shape
    tokens = q.shape[2]
    ratio = q.shape[1] // kv_heads
    query = q.reshape(batch, kv_heads, 1, ratio, tokens, dim)
    cos, sin = cos_sin(at[:, None, None] - pos[..., None], inv_freq, q.dtype)
    turned = turn(query, cos[:, :, :, None], sin[:, :, :, None])
    pages = batch * kv_heads * count
    found = turned.reshape(pages, ratio * tokens, dim) @ keys.reshape(pages, slots, dim).mT
    return found.view(batch, kv_heads, count, ratio, tokens, slots).permute(0, 1, 3, 4, 2, 5)


def _rotate_keys(q: Tensor, at: Tensor, keys: Tensor, pos: Tensor, inv_freq: Tensor) -> Tensor:
    """Logits [B, Hkv, R, T, M, P] by rotating keys and queries once each."""
    batch, kv_heads, count, slots, dim = keys.shape
    tokens = q.shape[2]
    # Stored keys are rotated by their slot already; only the page's position is missing.
    cos, sin = cos_sin(pos, inv_freq, q.dtype)
    placed = turn(keys, cos[..., None, :], sin[..., None, :])
    cos, sin = cos_sin(at, inv_freq, q.dtype)
    ratio = q.shape[1] // kv_heads
    turned = turn(q, cos[:, None], sin[:, None]).reshape(batch, kv_heads, ratio * tokens, dim)
    found = turned @ placed.reshape(batch, kv_heads, count * slots, dim).transpose(-1, -2)
    return found.view(batch, kv_heads, ratio, tokens, count, slots)


def _softmax(
    logits: Tensor,
    seen: Tensor,
    bias: Tensor,
    group: Tensor,
    landmark_slot: int | None,
) -> tuple[Tensor, Tensor]:
    """Weights [B, Hkv, R, T, M, P] and lse [B, Hq, T]."""
    gate = gated = None
    seen = seen[:, :, None]
    if landmark_slot is not None:
        gate = logits[..., landmark_slot].clone()
        gated = seen[..., landmark_slot] & (group > 0)[:, :, None, None]
        seen = seen.clone()
        seen[..., landmark_slot] = False
    logits = logits.masked_fill(~seen, _NEG_INF)
    if gate is not None and gated is not None:
        block = logits.logsumexp(-1).clamp(min=-1e30)
        logits = logits + torch.where(gated, gate - block, 0.0)[..., None]
    logits = logits + bias[:, :, None, None, :, None]
    batch, kv_heads, ratio, tokens, count, slots = logits.shape
    flat = logits.reshape(batch, kv_heads, ratio * tokens, count * slots)
    top = flat.amax(-1, keepdim=True).clamp(min=-1e30) if count else flat.sum(-1, keepdim=True)
    weight = torch.exp(flat - top)
    total = weight.sum(-1, keepdim=True)
    lse = (top + total.log()).squeeze(-1)
    weight = weight / torch.where(total > 0, total, 1.0)
    shape = (batch, kv_heads, ratio, tokens, count, slots)
    return weight.view(shape), lse.view(batch, kv_heads * ratio, tokens)


def _sum_by_group(weight: Tensor, group: Tensor, groups: int) -> Tensor:
    """Weights summed inside each group: [B, Hq, T, G]."""
    batch, kv_heads, ratio, tokens, _, _ = weight.shape
    of_page = weight.sum(-1)
    index = group.expand(-1, kv_heads, -1)[:, :, None, None].expand_as(of_page)
    summed = weight.new_zeros(batch, kv_heads, ratio, tokens, groups)
    summed.scatter_add_(4, index, of_page)
    return summed.view(batch, kv_heads * ratio, tokens, groups)


def score(
    q: Tensor,
    mean: Tensor | None = None,
    low: Tensor | None = None,
    high: Tensor | None = None,
    *,
    reduce: str = "max",
) -> Tensor:
    """See `memagent.kernels.api.score_pages`."""
    keys = mean if mean is not None else low
    assert keys is not None
    batch, kv_heads = keys.shape[:2]
    rows = q.reshape(batch, kv_heads, -1, q.shape[-1])
    if reduce == "mean":
        rows = rows.float().mean(2, keepdim=True).to(q.dtype)
    if mean is not None:
        found = rows @ mean.transpose(-1, -2)
    else:
        assert low is not None and high is not None
        # max(q·low, q·high) per dimension, summed: the positive part of q takes high, the rest low.
        found = rows.clamp(min=0) @ high.transpose(-1, -2)
        found = found + rows.clamp(max=0) @ low.transpose(-1, -2)
    return found.float() if reduce == "none" else found.float().amax(2)


def select(scores: Tensor, k: int) -> Tensor:
    """See `memagent.kernels.api.select_pages`."""
    number = scores.shape[-1]
    take = min(k, number)
    # A stable sort takes the first of equals, as the reference does.
    best, order = scores.sort(dim=-1, descending=True, stable=True)
    order = order[..., :take].masked_fill(best[..., :take] == _NEG_INF, number)
    chosen = order.sort(dim=-1).values
    chosen = chosen.masked_fill(chosen == number, -1).to(torch.int32)
    return torch.nn.functional.pad(chosen, (0, k - take), value=-1)
