"""Attention over page lists in Triton: one kernel for a decoded token and for a prompt's tile.

A program holds a tile of queries that share a kv head and iterates over its part of the list, one
page per step. It rotates the queries once to the tile's first position, and from there once per
page, so pages are never rotated. `merge` combines the parts of a list.

Sources: FlashAttention-2 (arXiv:2307.08691) for the online softmax, Flash-Decoding for the parts,
Landmark Attention (arXiv:2305.16300) for the gate. Knows nothing of how pages are chosen.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from memagent.kernels.angles import cos_sin_of, turned, turns_of
from memagent.kernels.launch import jit, power_of_two, precision, processors
from memagent.kernels.layout import Attended, AttentionParams, PageList
from memagent.kernels.mass import group_mass
from memagent.kernels.merge import merge

__all__ = ["Plan", "attend", "constants", "plan"]

_LOG2E = math.log2(math.e)
_LN2 = tl.constexpr(math.log(2.0))
# Distances are compared in 32 bits; larger ones are clamped to this.
_FAR = tl.constexpr(1 << 29)
_SCAN = tl.constexpr(64)
# Shared memory for pages in flight; the smallest of the supported GPUs has 99 KB.
_IN_FLIGHT = 72 << 10


@jit
def _span(
    pages: tl.tensor, page_pos: tl.tensor, page_lo: tl.tensor, page_hi: tl.tensor,
    begin: tl.tensor, entries: tl.tensor, number: tl.tensor, newest: tl.tensor, oldest: tl.tensor,
    window: tl.tensor, windowed: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """The range of visible entries among the `number` entries from `begin`."""
    end = tl.minimum(begin + number, entries)
    low, high = end, begin
    step = tl.arange(0, _SCAN)
    for start in range(begin, end, _SCAN):
        entry = start + step
        there = entry < end
        page = tl.load(pages + entry, mask=there, other=-1)
        pos = tl.load(page_pos + entry, mask=there, other=0).to(tl.int64)
        lo = tl.load(page_lo + entry, mask=there, other=0)
        hi = tl.load(page_hi + entry, mask=there, other=0)
        alive = (page >= 0) & (lo < hi) & (pos + lo <= newest)
        if windowed:
            alive = alive & (oldest - (pos + hi - 1) < window)
        low = tl.minimum(low, tl.min(tl.where(alive, entry, end), 0))
        high = tl.maximum(high, tl.max(tl.where(alive, entry + 1, begin), 0))
    return low, high


@jit
def _entry(
    pages: tl.tensor, page_pos: tl.tensor, page_lo: tl.tensor, page_hi: tl.tensor,
    page_group: tl.tensor, bias: tl.tensor, groups: tl.tensor, i: tl.tensor, end: tl.tensor,
) -> tl.tensor:  # fmt: skip
    """Entry i of the list and the bias of its group; an entry without slots if i >= end."""
    there = i < end
    page = tl.load(pages + i, mask=there, other=-1).to(tl.int64)
    pos = tl.load(page_pos + i, mask=there, other=0).to(tl.int64)
    lo, hi = tl.load(page_lo + i, mask=there, other=0), tl.load(page_hi + i, mask=there, other=0)
    owner = tl.load(page_group + i, mask=there, other=0)
    owner = tl.minimum(tl.maximum(owner, 0), groups - 1)
    more = tl.load(bias + owner).to(tl.float32) * 1.4426950408889634
    return page, pos, lo, hi, owner, more


@jit
def _near(distance: tl.tensor) -> tl.tensor:
    return tl.minimum(tl.maximum(distance, -_FAR), _FAR).to(tl.int32)


@jit
def _tanh(x: tl.tensor) -> tl.tensor:
    """Hyperbolic tangent; a polynomial near 0, where the quotient loses precision."""
    small = tl.exp(-2.0 * tl.abs(x))
    size = (1.0 - small) / (1.0 + small)
    square = x * x
    near = x * (1.0 + square * (-1 / 3 + square * (2 / 15 - square * (17 / 315))))
    return tl.where(tl.abs(x) < 0.25, near, tl.where(x < 0, -size, size))


@jit
def _gate(
    logits: tl.tensor, seen: tl.tensor, slot: tl.tensor, owner: tl.tensor, landmark: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """Logits of a page without its landmark; outside group 0 they share the landmark's weight."""
    marks = (slot == landmark)[None, :]
    gate = tl.sum(tl.where(marks, logits, 0.0), 1)
    gated = (tl.max((marks & seen).to(tl.int32), 1) > 0) & (owner > 0)
    logits = tl.where(seen & (slot != landmark)[None, :], logits, float("-inf"))
    top = tl.max(logits, 1)
    gated = gated & (top > float("-inf"))
    level = tl.where(gated, top, 0.0)
    inside = tl.sum(tl.exp2(logits - level[:, None]), 1)
    inside = level + tl.log2(tl.where(gated, inside, 1.0))
    return logits + tl.where(gated, gate - inside, 0.0)[:, None]


@jit
def _product(
    q_1: tl.tensor, q_2: tl.tensor, k_1: tl.tensor, k_2: tl.tensor, product: tl.tensor,
    exact: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """Queries rotated by the distance to the page, rounded once, times its keys."""
    cos, sin = cos_sin_of(product)
    cos, sin = cos[None, :], sin[None, :]
    s = tl.dot((q_1 * cos - q_2 * sin).to(k_1.dtype), k_1, input_precision=exact)
    return tl.dot((q_2 * cos + q_1 * sin).to(k_1.dtype), k_2, s, input_precision=exact)


@jit
def _log_of(level: tl.tensor, total: tl.tensor) -> tl.tensor:
    """The natural logarithm of total x 2^level."""
    found = (level + tl.log2(tl.where(total > 0, total, 1.0))) * _LN2
    return tl.where(total > 0, found, float("-inf"))


@jit
def _attend(
    q: tl.tensor, q_pos: tl.tensor, keys: tl.tensor, values: tl.tensor, pages: tl.tensor,
    page_pos: tl.tensor, page_lo: tl.tensor, page_hi: tl.tensor, page_group: tl.tensor,
    bias: tl.tensor, turns: tl.tensor, out: tl.tensor, lse: tl.tensor, entry_lse: tl.tensor,
    scale: tl.tensor, cap: tl.tensor, window: tl.tensor, tokens: tl.tensor, entries: tl.tensor,
    per_split: tl.tensor, kv_heads: tl.tensor, list_heads: tl.tensor, groups: tl.tensor,
    q_b: tl.tensor, q_h: tl.tensor, q_t: tl.tensor, q_d: tl.tensor, k_n: tl.tensor,
    k_h: tl.tensor, k_s: tl.tensor, k_d: tl.tensor, v_n: tl.tensor, v_h: tl.tensor,
    v_s: tl.tensor, v_d: tl.tensor, group: tl.constexpr, dim: tl.constexpr, slots: tl.constexpr,
    landmark: tl.constexpr, capped: tl.constexpr, windowed: tl.constexpr, mass: tl.constexpr,
    exact: tl.constexpr, block_q: tl.constexpr, block_m: tl.constexpr, block_p: tl.constexpr,
    block_h: tl.constexpr, block_d: tl.constexpr,
) -> None:  # fmt: skip
    """One tile of queries over one part of its list."""
    tile, pair, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    batch, head = (pair // kv_heads).to(tl.int64), (pair % kv_heads).to(tl.int64)
    row = tl.arange(0, block_m)
    token = tile * block_q + row // group
    live = (row < block_q * group) & (token < tokens)
    state = (batch * kv_heads * group + head * group + row % group) * tokens + token
    at = tl.load(q_pos + batch * tokens + token, mask=live, other=0).to(tl.int64)
    first = tl.load(q_pos + batch * tokens + tile * block_q).to(tl.int64)
    at = tl.where(live, at, first)
    half, slot, d = tl.arange(0, block_h), tl.arange(0, block_p), tl.arange(0, block_d)
    fits = half < dim // 2
    turn = tl.load(turns + half, mask=fits, other=0)
    source = q + batch * q_b + (head * group + row % group)[:, None] * q_h + half[None, :] * q_d
    source += token.to(tl.int64)[:, None] * q_t
    q_mask = live[:, None] & fits[None, :]
    product = (at - first)[:, None] * turn[None, :]
    q_1, q_2 = turned(source, dim // 2 * q_d, q_mask, product)
    near = _near(at - first)
    line = batch * list_heads + head % list_heads
    pages, page_pos = pages + line * entries, page_pos + line * entries
    page_lo, page_hi = page_lo + line * entries, page_hi + line * entries
    page_group, bias = page_group + line * entries, bias + line * groups
    newest, oldest = tl.max(at, 0), tl.min(at, 0)
    begin, end = _span(
        pages, page_pos, page_lo, page_hi, split * per_split, entries, per_split,
        newest, oldest, window, windowed,
    )  # fmt: skip
    k_at = keys + head * k_h + slot[None, :] * k_s + half[:, None] * k_d
    v_at = values + head * v_h + slot[:, None] * v_s + d[None, :] * v_d
    top = tl.full([block_m], float("-inf"), tl.float32)
    total = tl.zeros([block_m], tl.float32)
    acc = tl.zeros([block_m, block_d], tl.float32)
    page, pos, lo, hi, owner, more = _entry(
        pages, page_pos, page_lo, page_hi, page_group, bias, groups, begin, end
    )
    for i in range(begin, end):
        wanted = (page >= 0) & (pos + lo <= newest)
        if windowed:
            wanted = wanted & (oldest - (pos + hi - 1) < window)
        inside = (slot >= lo) & (slot < hi) & (slot < slots) & wanted
        k_mask = inside[None, :] & fits[:, None]
        k_1 = tl.load(k_at + page * k_n, mask=k_mask, other=0.0)
        k_2 = tl.load(k_at + page * k_n + dim // 2 * k_d, mask=k_mask, other=0.0)
        v = tl.load(v_at + page * v_n, mask=inside[:, None] & (d < dim)[None, :], other=0.0)
        s = _product(q_1, q_2, k_1, k_2, (first - pos) * turn, exact) * scale
        if capped:
            s = _tanh(s) * cap
        away = near[:, None] + (_near(first - pos) - slot)[None, :]
        seen = inside[None, :] & (away >= 0)
        if windowed:
            seen = seen & (away < window)
        if landmark < 0:
            s = tl.where(seen, s, float("-inf"))
        else:
            s = _gate(s, seen, slot, owner, landmark)
        s += more
        higher = tl.maximum(top, tl.max(s, 1))
        level = tl.where(higher > float("-inf"), higher, 0.0)
        p = tl.exp2(s - level[:, None])
        keep = tl.exp2(top - level)
        here = tl.sum(p, 1)
        acc = tl.dot(p.to(v.dtype), v, acc * keep[:, None], input_precision=exact)
        total = total * keep + here
        top = higher
        if mass:
            tl.store(entry_lse + state * entries + i, _log_of(level, here), mask=live)
        # The next entry is read one step ahead, so that the loads of its page need not wait.
        page, pos, lo, hi, owner, more = _entry(
            pages, page_pos, page_lo, page_hi, page_group, bias, groups, i + 1, end
        )
    whole = tl.where(total > 0, total, 1.0)
    rows = tl.num_programs(1).to(tl.int64) * group * tokens
    target = out + (split * rows + state)[:, None] * dim + d[None, :]
    found = (acc / whole[:, None]).to(out.dtype.element_ty)
    tl.store(target, found, mask=live[:, None] & (d < dim)[None, :])
    tl.store(lse + split * rows + state, _log_of(top, total), mask=live)


class Plan(NamedTuple):
    """How the queries are divided into tiles, and the compiler's options."""

    block_q: int
    block_m: int
    num_warps: int
    num_stages: int


def plan(group: int, tokens: int, slots: int, dim: int, dtype: torch.dtype) -> Plan:
    """One token's heads per tile in decoding, more rows in a prompt; none of these spill."""
    wide = power_of_two(dim)
    rows = 16 if dtype == torch.float32 else min(128, 64 * 128 // wide)
    block_q = max(1, min(tokens, rows // group))
    block_m = power_of_two(block_q * group)
    page = 2 * power_of_two(slots) * wide * dtype.itemsize
    stages = min(3, 1 + _IN_FLIGHT // page)
    return Plan(block_q, block_m, 4 if block_m * wide <= 16 * 128 else 8, stages)


def constants(
    group: int, dim: int, slots: int, dtype: torch.dtype, params: AttentionParams, mass: bool,
    made: Plan,
) -> dict[str, Any]:  # fmt: skip
    """The compile-time constants of the kernel."""
    return {
        "group": group, "dim": dim, "slots": slots,
        "landmark": -1 if params.landmark_slot is None else params.landmark_slot,
        "capped": params.softcap is not None, "windowed": params.window is not None, "mass": mass,
        "exact": precision(dtype), "block_q": made.block_q, "block_m": made.block_m,
        "block_p": power_of_two(slots), "block_h": power_of_two(dim // 2),
        "block_d": power_of_two(dim),
    }  # fmt: skip


def attend(
    q: Tensor, q_pos: Tensor, k_pages: Tensor, v_pages: Tensor, page_list: PageList,
    params: AttentionParams, *, mass: bool = True, splits: int | None = None,
) -> Attended:  # fmt: skip
    """See `memagent.kernels.api.attend_pages`."""
    batch, heads, tokens, dim = q.shape
    kv_heads, slots = k_pages.shape[1:3]
    (_, list_heads, entries), groups = page_list.pages.shape, page_list.groups
    group, softcap = heads // kv_heads, params.softcap
    made = plan(group, tokens, slots, dim, q.dtype)
    tiles = triton.cdiv(tokens, made.block_q)
    if splits is None:
        splits = triton.cdiv(4 * processors(q.device), max(1, tiles * batch * kv_heads))
    per_split = triton.cdiv(entries, max(1, min(splits, entries)))
    splits = max(1, triton.cdiv(entries, max(1, per_split)))
    like: dict[str, Any] = {"dtype": torch.float32, "device": q.device}
    kind = q.dtype if splits == 1 else torch.float32
    outs = torch.empty((splits, *q.shape), dtype=kind, device=q.device)
    lses = torch.empty((splits, batch, heads, tokens), **like)
    # Entries that are invisible to a tile are not visited.
    entry_lse = torch.full((batch, heads, tokens, entries) if mass else (1,), -math.inf, **like)
    columns = [t.contiguous() for t in (*page_list.columns.values(), page_list.group_bias)]
    _attend[(tiles, batch * kv_heads, splits)](
        q, q_pos.contiguous(), k_pages, v_pages, *columns, turns_of(params.inv_freq), outs, lses,
        entry_lse, params.scale / softcap if softcap else params.scale * _LOG2E,
        (softcap or 0.0) * _LOG2E, min(params.window or 0, 2**31 - 1), tokens, entries, per_split,
        kv_heads, list_heads, groups, *q.stride(), *k_pages.stride(), *v_pages.stride(),
        **constants(group, dim, slots, q.dtype, params, mass, made),
        num_warps=made.num_warps, num_stages=made.num_stages,
    )  # fmt: skip
    out, lse = (outs[0], lses[0]) if splits == 1 else merge(outs, lses, q.dtype)
    share = group_mass(entry_lse, lse, page_list.page_group, groups, group) if mass else None
    return Attended(out, lse, share)
