"""Attention over pages and landmark attention from their definitions: float64, loops, no tricks.

Keys are put at their absolute place and weights are plain exponentials; nothing is shared with the
package.
"""

import math

import torch


def turned(x, place, inv_freq):
    """x [..., D] at a place: the pairs (i, i + D/2) as complex numbers, turned."""
    real, imaginary = x.double().chunk(2, dim=-1)
    angle = float(place) * inv_freq.double()
    z = torch.complex(real, imaginary) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat((z.real, z.imag), dim=-1)


def weights_of(logits, visible, landmark_slot, group):
    """Weights of the slots of one stretch, before the group's bias: {slot: weight}."""
    seen = {j: math.exp(logits[j]) for j in visible if j != landmark_slot}
    if landmark_slot is None or group == 0 or landmark_slot not in visible:
        return seen
    whole = sum(seen.values())
    return {j: math.exp(logits[landmark_slot]) * weight / whole for j, weight in seen.items()}


def attention(case, *, landmark_slot=None, softcap=None, window=None):
    """Output, lse and group mass of a case, float64."""
    q, k_pages, v_pages = case["q"], case["k_pages"].double(), case["v_pages"].double()
    batch, heads, tokens, _ = q.shape
    kv_heads, groups = k_pages.shape[1], case["group_bias"].shape[2]
    names = ("pages", "page_pos", "page_lo", "page_hi", "page_group")
    out = torch.zeros(q.shape, dtype=torch.float64)
    lse = torch.full(q.shape[:3], -math.inf, dtype=torch.float64)
    mass = torch.zeros(batch, heads, groups, dtype=torch.float64)
    for b, head in ((b, head) for b in range(batch) for head in range(heads)):
        h = head // (heads // kv_heads)
        line = h if case["pages"].shape[1] > 1 else 0
        entries = [
            entry
            for entry in zip(*(case[n][b, line].tolist() for n in names), strict=True)
            if entry[0] >= 0
        ]
        placed = [turned(k_pages[e[0], h], e[1], case["inv_freq"]) for e in entries]
        watching = 0
        for t in range(tokens):
            here = int(case["q_pos"][b, t])
            query = turned(q[b, head, t], here, case["inv_freq"])
            whole, of_group = 0.0, [0.0] * groups
            for (page, pos, lo, hi, group), keys in zip(entries, placed, strict=True):
                logits = (keys @ query * case["scale"]).tolist()
                if softcap is not None:
                    logits = [math.tanh(s / softcap) * softcap for s in logits]
                far = (
                    range(len(logits)) if window is None else range(here - window + 1 - pos, 10**9)
                )
                visible = [
                    j for j in range(len(logits)) if lo <= j < hi and pos + j <= here and j in far
                ]
                bias = math.exp(float(case["group_bias"][b, line, group]))
                for j, weight in weights_of(logits, visible, landmark_slot, group).items():
                    out[b, head, t] += bias * weight * v_pages[page, h, j]
                    of_group[group] += bias * weight
                    whole += bias * weight
            if whole > 0:
                out[b, head, t] /= whole
                lse[b, head, t] = math.log(whole)
                mass[b, head] += torch.tensor(of_group, dtype=torch.float64) / whole
                watching += 1
        mass[b, head] /= max(1, watching)
    return out, lse, mass


def landmark(q, k, v, block, scale):
    """Grouped softmax of landmark attention, one query at a time."""
    batch, heads, tokens, _ = q.shape
    q, k, v = q.double(), k.double(), v.double()
    out = torch.zeros(q.shape, dtype=torch.float64)
    for b, head, t in (
        (b, h, t) for b in range(batch) for h in range(heads) for t in range(tokens)
    ):
        h = head // (heads // k.shape[1])
        logits = (k[b, h] @ q[b, head, t] * scale).tolist()
        weight = {j: math.exp(logits[j]) for j in range(t // block * block, t + 1)}
        for turn in range(t // block):
            inside = range(turn * block, turn * block + block - 1)
            whole = sum(math.exp(logits[j]) for j in inside)
            gate = math.exp(logits[turn * block + block - 1])
            weight |= {j: gate * math.exp(logits[j]) / whole for j in inside}
        weight = {j: w for j, w in weight.items() if j % block != block - 1}
        for j, w in weight.items():
            out[b, head, t] += w / sum(weight.values()) * v[b, h, j]
    return out
