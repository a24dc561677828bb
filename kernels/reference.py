"""The reference implementation in plain PyTorch, one head and one page at a time.

Written for clarity and valid in float64. Every other implementation is tested against it; it
imports none of them. Sources: StreamingLLM (arXiv:2309.17453) for sinks, Landmark Attention
(arXiv:2305.16300) for the grouped softmax, Quest (arXiv:2406.10774) for the bound.
"""

from __future__ import annotations

import torch
from torch import Tensor

from memagent.kernels.layout import Attended, AttentionParams, PageList, Summary, expand_heads
from memagent.kernels.rope import rotate

__all__ = ["attend", "landmark", "merge", "score", "select", "summarize"]

_NEG_INF = float("-inf")


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
    ratio, groups = heads // kv_heads, page_list.groups
    softcap, window = params.softcap, params.window
    exact = torch.promote_types(q.dtype, torch.float32)
    out = torch.zeros(q.shape, dtype=exact, device=q.device)
    lse = torch.full((batch, heads, tokens), _NEG_INF, dtype=exact, device=q.device)
    weights = torch.zeros(batch, heads, tokens, groups, dtype=exact, device=q.device)
    columns = [expand_heads(t, kv_heads) for t in page_list.columns.values()]
    bias = page_list.group_bias.to(exact).expand(-1, kv_heads, -1)
    slot = torch.arange(slots, device=q.device)
    for b in range(batch):
        for head in range(heads):
            h = head // ratio
            scores, values, owner = [], [], []
            for page, pos, lo, hi, group in zip(*(t[b, h].tolist() for t in columns), strict=True):
                if page < 0:
                    continue
                # The key of slot j was rotated by j alone; the query carries the page's position.
                query = rotate(q[b, head].to(exact), q_pos[b] - pos, params.inv_freq)
                logits = query @ k_pages[page, h].to(exact).T * params.scale
                if softcap is not None:
                    logits = torch.tanh(logits / softcap) * softcap
                ahead = q_pos[b, :, None] - (pos + slot)
                inside = (slot >= lo) & (slot < hi)
                seen = inside & (ahead >= 0)
                if window is not None:
                    seen = seen & (ahead < window)
                logits = _block(logits, seen, params.landmark_slot, local=group == 0)
                scores.append(logits + bias[b, h, group])
                # An unwritten slot may hold NaN, and 0 x NaN is NaN.
                values.append(v_pages[page, h].to(exact).masked_fill(~inside[:, None], 0))
                owner.append(torch.full((slots,), group, device=q.device))
            if not scores:
                continue
            logits = torch.cat(scores, dim=1)
            lse[b, head] = logits.logsumexp(1)
            share = torch.exp(logits - lse[b, head].clamp(min=-1e30)[:, None])
            out[b, head] = share @ torch.cat(values)
            weights[b, head].index_add_(1, torch.cat(owner), share)
    seen_any = (lse > _NEG_INF).sum(-1, keepdim=True).clamp(min=1)
    group_mass = weights.sum(2) / seen_any if mass else None
    return Attended(out.to(q.dtype), lse, group_mass)


def _block(logits: Tensor, seen: Tensor, landmark_slot: int | None, *, local: bool) -> Tensor:
    """Logits of one page [T, P]: -inf where invisible, gated by the landmark if there is one.

    A landmark's own value never contributes. Outside group 0, a query that sees the landmark gives
    the page the weight of the landmark's logit, divided among the other slots by their softmax.
    """
    if landmark_slot is None:
        return logits.masked_fill(~seen, _NEG_INF)
    gate, gated = logits[:, landmark_slot], seen[:, landmark_slot]
    seen = seen.clone()
    seen[:, landmark_slot] = False
    logits = logits.masked_fill(~seen, _NEG_INF)
    if local:
        return logits
    inside = logits - logits.logsumexp(1, keepdim=True).clamp(min=-1e30)
    return torch.where(gated[:, None], inside + gate[:, None], logits)


def summarize(k_pages: Tensor, pages: Tensor, page_lo: Tensor, page_hi: Tensor) -> Summary:
    """See `memagent.kernels.api.summarize_pages`."""
    keys = k_pages[pages]
    slot = torch.arange(keys.shape[2], device=keys.device)
    inside = (slot >= page_lo[:, None]) & (slot < page_hi[:, None])
    inside = inside[:, None, :, None]
    exact = torch.promote_types(keys.dtype, torch.float32)
    count = inside.sum(2).clamp(min=1)
    mean = torch.where(inside, keys, 0).to(exact).sum(2) / count
    empty = ~inside.any(2)
    low = torch.where(inside, keys, float("inf")).amin(2).masked_fill(empty, 0)
    high = torch.where(inside, keys, _NEG_INF).amax(2).masked_fill(empty, 0)
    return Summary(mean.to(keys.dtype), low, high)


def score(
    q: Tensor,
    mean: Tensor | None = None,
    low: Tensor | None = None,
    high: Tensor | None = None,
    *,
    reduce: str = "max",
) -> Tensor:
    """See `memagent.kernels.api.score_pages`."""
    batch, heads, tokens, dim = q.shape
    keys = mean if mean is not None else low
    assert keys is not None
    kv_heads = keys.shape[1]
    exact = torch.promote_types(q.dtype, torch.float32)
    rows = q.to(exact).reshape(batch, kv_heads, heads // kv_heads * tokens, dim)
    if reduce == "mean":
        rows = rows.mean(2, keepdim=True)
    if mean is not None:
        found = rows @ mean.to(exact).transpose(-1, -2)
    else:
        assert low is not None and high is not None
        least, most = low.to(exact)[:, :, None], high.to(exact)[:, :, None]
        found = torch.maximum(rows[..., None, :] * least, rows[..., None, :] * most).sum(-1)
    return found if reduce == "none" else found.amax(2)


def select(scores: Tensor, k: int) -> Tensor:
    """See `memagent.kernels.api.select_pages`."""
    rows = scores.reshape(-1, scores.shape[-1])
    chosen = torch.full((rows.shape[0], k), -1, dtype=torch.int32, device=scores.device)
    for row, values in enumerate(rows.tolist()):
        order = sorted((n for n, s in enumerate(values) if s > _NEG_INF), key=lambda n: -values[n])
        best = sorted(order[:k])
        chosen[row, : len(best)] = torch.tensor(best, dtype=torch.int32, device=scores.device)
    return chosen.reshape(*scores.shape[:-1], k)


def merge(outs: Tensor, lses: Tensor) -> tuple[Tensor, Tensor]:
    """See `memagent.kernels.api.merge_states`."""
    exact = torch.promote_types(outs.dtype, torch.float32)
    total = lses.to(exact).logsumexp(0)
    share = torch.exp(lses.to(exact) - total.clamp(min=-1e30))
    return (outs.to(exact) * share[..., None]).sum(0).to(outs.dtype), total


def landmark(q: Tensor, k: Tensor, v: Tensor, block: int, scale: float) -> Tensor:
    """See `memagent.kernels.api.landmark_attention`; differentiable by autograd."""
    tokens, ratio = q.shape[2], q.shape[1] // k.shape[1]
    exact = torch.promote_types(q.dtype, torch.float32)
    k, v = (t.to(exact).repeat_interleave(ratio, dim=1) for t in (k, v))
    logits = q.to(exact) @ k.transpose(-1, -2) * scale
    place = torch.arange(tokens, device=q.device)
    is_landmark = place % block == block - 1
    seen = (place <= place[:, None]) & ~is_landmark
    own = place // block == (place // block)[:, None]
    local = logits.masked_fill(~(seen & own), _NEG_INF)
    parts, values = [local], [v]
    for start in range(0, tokens - block, block):
        gate = logits[..., start + block - 1 : start + block]
        inside = logits[..., start : start + block - 1].log_softmax(-1) + gate
        later = (place >= start + block)[:, None]
        parts.append(inside.masked_fill(~later, _NEG_INF))
        values.append(v[:, :, start : start + block - 1])
    # A query that sees no key gets output 0.
    every = torch.cat(parts, dim=-1)
    share = torch.exp(every - every.logsumexp(-1, keepdim=True).clamp(min=-1e30))
    return (share @ torch.cat(values, dim=2)).to(q.dtype)
