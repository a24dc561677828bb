"""Shapes of pages and page lists, and the checks that every implementation makes first.

A page is P slots of one kv head. A page list names, for each row and kv head, M stretches of
pages; -1 pads it. Knows nothing of how attention is computed.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "Attended",
    "LayoutError",
    "Summary",
    "check_attend",
    "check_rotate",
    "check_same",
    "expand_heads",
]

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_WHOLE = (torch.int32, torch.int64)


class LayoutError(ValueError):
    """A shape, dtype or device that does not fit; the message names the tensor and the rule."""


class Attended(NamedTuple):
    """What attention over pages returns.

    out [B, Hq, T, D] in the dtype of q; lse [B, Hq, T] float32, the logarithm of the softmax's
    denominator, -inf where nothing was visible; group_mass [B, Hq, G] float32, the attention
    weight of each group averaged over the queries that saw anything, or None if not asked for.
    """

    out: Tensor
    lse: Tensor
    group_mass: Tensor | None


class Summary(NamedTuple):
    """Mean, smallest and largest key of each stretch, [N, Hkv, D] each, as the slots store them."""

    mean: Tensor
    low: Tensor
    high: Tensor


def _need(holds: bool, message: str) -> None:
    if not holds:
        raise LayoutError(message)


def check_same(**tensors: Tensor) -> None:
    """All tensors are of one floating dtype and on one device."""
    (first, pattern), *rest = tensors.items()
    _need(pattern.dtype in _FLOATS, f"{first} must be floating, not {pattern.dtype}")
    for name, tensor in rest:
        _need(tensor.dtype == pattern.dtype, f"{name} is {tensor.dtype}, {first} {pattern.dtype}")
        _need(tensor.device == pattern.device, f"{name} is on {tensor.device}, {first} is not")


def check_attend(
    q: Tensor,
    q_pos: Tensor,
    k_pages: Tensor,
    v_pages: Tensor,
    lists: dict[str, Tensor],
    group_bias: Tensor,
    inv_freq: Tensor,
    landmark_slot: int | None,
    window: int | None,
) -> None:
    """The shapes of `attend_pages`; raises LayoutError with the first rule that is broken."""
    _need(q.dim() == 4, f"q must be [B, Hq, T, D], not {tuple(q.shape)}")
    _need(k_pages.dim() == 4, f"k_pages must be [N, Hkv, P, D], not {tuple(k_pages.shape)}")
    check_same(q=q, k_pages=k_pages, v_pages=v_pages)
    batch, heads, tokens, dim = q.shape
    _, kv_heads, slots, key_dim = k_pages.shape
    _need(
        v_pages.shape == k_pages.shape,
        f"v_pages is {tuple(v_pages.shape)}, k_pages {tuple(k_pages.shape)}",
    )
    _need(key_dim == dim, f"the heads of q have {dim} numbers, those of k_pages {key_dim}")
    _need(dim % 2 == 0, f"RoPE turns pairs: the head size must be even, not {dim}")
    _need(heads % kv_heads == 0, f"{heads} query heads cannot share {kv_heads} kv heads evenly")
    _need(
        q_pos.shape == (batch, tokens), f"q_pos must be {(batch, tokens)}, not {tuple(q_pos.shape)}"
    )
    pattern = lists["pages"].shape
    _need(
        len(pattern) == 3 and pattern[0] == batch and pattern[1] in (1, kv_heads),
        f"pages must be [{batch}, 1 or {kv_heads}, M], not {tuple(pattern)}",
    )
    for name, tensor in {**lists, "q_pos": q_pos}.items():
        _need(tensor.dtype in _WHOLE, f"{name} must hold int32 or int64, not {tensor.dtype}")
        _need(tensor.device == q.device, f"{name} is on {tensor.device}, q on {q.device}")
        same = name == "q_pos" or tensor.shape == pattern
        _need(same, f"{name} must have the shape of pages {tuple(pattern)}")
    _need(
        group_bias.dim() == 3 and group_bias.shape[:2] == pattern[:2],
        f"group_bias must be [{pattern[0]}, {pattern[1]}, G], not {tuple(group_bias.shape)}",
    )
    _need(group_bias.is_floating_point(), "group_bias must be floating")
    for name, tensor in {"group_bias": group_bias, "inv_freq": inv_freq}.items():
        _need(tensor.device == q.device, f"{name} is on {tensor.device}, q on {q.device}")
    _need(
        inv_freq.shape == (dim // 2,),
        f"inv_freq must hold {dim // 2} frequencies, not {tuple(inv_freq.shape)}",
    )
    if landmark_slot is not None:
        _need(0 <= landmark_slot < slots, f"landmark_slot must lie in a page of {slots} slots")
    _need(window is None or window > 0, f"window must be positive, not {window}")


def check_rotate(x: Tensor, position: Tensor, inv_freq: Tensor) -> None:
    """The shapes of `rotate_heads`."""
    check_same(x=x)
    _need(x.dim() == 4, f"x must be [B, H, T, D], not {tuple(x.shape)}")
    batch, _, tokens, dim = x.shape
    _need(dim % 2 == 0, f"RoPE turns pairs: the head size must be even, not {dim}")
    _need(
        position.shape == (batch, tokens),
        f"position must be {(batch, tokens)}, not {tuple(position.shape)}",
    )
    _need(position.dtype in _WHOLE, f"position must hold int32 or int64, not {position.dtype}")
    _need(
        inv_freq.shape == (dim // 2,),
        f"inv_freq must hold {dim // 2} frequencies, not {tuple(inv_freq.shape)}",
    )
    for name, tensor in {"position": position, "inv_freq": inv_freq}.items():
        _need(tensor.device == x.device, f"{name} is on {tensor.device}, x on {x.device}")


def expand_heads(tensor: Tensor, kv_heads: int) -> Tensor:
    """[B, 1 or Hkv, M] as [B, Hkv, M], without a copy."""
    return tensor.expand(-1, kv_heads, -1)
