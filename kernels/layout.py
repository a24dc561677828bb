"""The page list that attention runs over, results, and the argument checks of every operation.

A page is P slots of one kv head. Knows nothing of how attention is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "Attended",
    "AttentionParams",
    "LayoutError",
    "PageList",
    "Summary",
    "check_attend",
    "check_rotate",
    "check_same",
    "expand_heads",
]

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_WHOLE = (torch.int32, torch.int64)


class LayoutError(ValueError):
    """A shape, dtype or device does not fit; the message names the tensor and the rule."""


@dataclass(frozen=True, slots=True)
class PageList:
    """The pages that queries attend to: M entries for each row of the batch and each kv head.

    The first five tensors are int32 or int64 [B, Hkv or 1, M]; with 1, all heads share the list.
    Entries may come in any order.

    - pages: physical page, an index into `k_pages` and `v_pages`; -1 is padding
    - page_pos: virtual position, in tokens, of slot 0
    - page_lo, page_hi: only the slots [lo, hi) are attended to
    - page_group: group of the page, in [0, G); group 0 is ordinary attention
    - group_bias: floating [B, Hkv or 1, G], added to the logits of each group: 0 for all groups is
      ordinary softmax, -inf removes the group
    """

    pages: Tensor
    page_pos: Tensor
    page_lo: Tensor
    page_hi: Tensor
    page_group: Tensor
    group_bias: Tensor

    @property
    def columns(self) -> dict[str, Tensor]:
        """The five integer tensors by name."""
        names = ("pages", "page_pos", "page_lo", "page_hi", "page_group")
        return {name: getattr(self, name) for name in names}

    @property
    def groups(self) -> int:
        """G, the number of groups."""
        return self.group_bias.shape[2]


@dataclass(frozen=True, slots=True)
class AttentionParams:
    """The constants of one layer's attention.

    - inv_freq: RoPE frequencies [D/2], in radians per token
    - scale: factor of the logits
    - softcap: bound of the logits, softcap x tanh(logit / softcap), as in Gemma 2
    - window: a key is visible only if it is less than this many tokens before the query
    - landmark_slot: slot of the landmark key in each page. Pages of groups above 0 then get the
      weight of their landmark's logit, divided among their other slots by softmax (Landmark
      Attention, arXiv:2305.16300). A landmark's value never contributes to the output.
    """

    inv_freq: Tensor
    scale: float
    softcap: float | None = None
    window: int | None = None
    landmark_slot: int | None = None


class Attended(NamedTuple):
    """The result of attention over pages.

    out [B, Hq, T, D] in the dtype of q; lse [B, Hq, T] float32, the logarithm of the softmax
    denominator, -inf where no key was visible; group_mass [B, Hq, G] float32, the attention mass
    of each group averaged over the queries that saw any key, or None if it was not requested.
    """

    out: Tensor
    lse: Tensor
    group_mass: Tensor | None


class Summary(NamedTuple):
    """Mean, elementwise minimum and maximum of the keys of n pages, [n, Hkv, D] each."""

    mean: Tensor
    low: Tensor
    high: Tensor


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise LayoutError(message)


def check_same(**tensors: Tensor) -> None:
    """Check that all tensors have one floating dtype and one device; raises LayoutError."""
    (first, pattern), *rest = tensors.items()
    _require(pattern.dtype in _FLOATS, f"{first} must be floating, not {pattern.dtype}")
    for name, tensor in rest:
        _require(
            tensor.dtype == pattern.dtype, f"{name} is {tensor.dtype}, {first} {pattern.dtype}"
        )
        _require(tensor.device == pattern.device, f"{name} is on {tensor.device}, {first} is not")


def check_attend(
    q: Tensor,
    q_pos: Tensor,
    k_pages: Tensor,
    v_pages: Tensor,
    page_list: PageList,
    params: AttentionParams,
) -> None:
    """Check the arguments of `attend_pages`; LayoutError names the first rule that is broken."""
    _require(q.dim() == 4, f"q must be [B, Hq, T, D], not {tuple(q.shape)}")
    _require(k_pages.dim() == 4, f"k_pages must be [N, Hkv, P, D], not {tuple(k_pages.shape)}")
    check_same(q=q, k_pages=k_pages, v_pages=v_pages)
    batch, heads, tokens, dim = q.shape
    _, kv_heads, slots, key_dim = k_pages.shape
    _require(
        v_pages.shape == k_pages.shape,
        f"v_pages is {tuple(v_pages.shape)}, k_pages {tuple(k_pages.shape)}",
    )
    _require(key_dim == dim, f"the heads of q have {dim} numbers, those of k_pages {key_dim}")
    _require(dim % 2 == 0, f"RoPE turns pairs: the head size must be even, not {dim}")
    _require(heads % kv_heads == 0, f"{heads} query heads cannot share {kv_heads} kv heads evenly")
    _require(
        q_pos.shape == (batch, tokens), f"q_pos must be {(batch, tokens)}, not {tuple(q_pos.shape)}"
    )
    columns, group_bias = page_list.columns, page_list.group_bias
    inv_freq, window, landmark_slot = params.inv_freq, params.window, params.landmark_slot
    pattern = page_list.pages.shape
    _require(
        len(pattern) == 3 and pattern[0] == batch and pattern[1] in (1, kv_heads),
        f"pages must be [{batch}, 1 or {kv_heads}, M], not {tuple(pattern)}",
    )
    for name, tensor in {**columns, "q_pos": q_pos}.items():
        _require(tensor.dtype in _WHOLE, f"{name} must hold int32 or int64, not {tensor.dtype}")
        _require(tensor.device == q.device, f"{name} is on {tensor.device}, q on {q.device}")
        same = name == "q_pos" or tensor.shape == pattern
        _require(same, f"{name} must have the shape of pages {tuple(pattern)}")
    _require(
        group_bias.dim() == 3 and group_bias.shape[:2] == pattern[:2],
        f"group_bias must be [{pattern[0]}, {pattern[1]}, G], not {tuple(group_bias.shape)}",
    )
    _require(group_bias.is_floating_point(), "group_bias must be floating")
    for name, tensor in {"group_bias": group_bias, "inv_freq": inv_freq}.items():
        _require(tensor.device == q.device, f"{name} is on {tensor.device}, q on {q.device}")
    _require(
        inv_freq.shape == (dim // 2,),
        f"inv_freq must hold {dim // 2} frequencies, not {tuple(inv_freq.shape)}",
    )
    if landmark_slot is not None:
        _require(
            0 <= landmark_slot < slots, f"landmark_slot must be within a page of {slots} slots"
        )
    _require(window is None or window > 0, f"window must be positive, not {window}")


def check_rotate(x: Tensor, position: Tensor, inv_freq: Tensor) -> None:
    """Check the arguments of `rotate_heads`; raises LayoutError."""
    check_same(x=x)
    _require(x.dim() == 4, f"x must be [B, H, T, D], not {tuple(x.shape)}")
    batch, _, tokens, dim = x.shape
    _require(dim % 2 == 0, f"RoPE turns pairs: the head size must be even, not {dim}")
    _require(
        position.shape == (batch, tokens),
        f"position must be {(batch, tokens)}, not {tuple(position.shape)}",
    )
    _require(position.dtype in _WHOLE, f"position must hold int32 or int64, not {position.dtype}")
    _require(
        inv_freq.shape == (dim // 2,),
        f"inv_freq must hold {dim // 2} frequencies, not {tuple(inv_freq.shape)}",
    )
    for name, tensor in {"position": position, "inv_freq": inv_freq}.items():
        _require(tensor.device == x.device, f"{name} is on {tensor.device}, x on {x.device}")


def expand_heads(tensor: Tensor, kv_heads: int) -> Tensor:
    """[B, 1 or Hkv, M] as [B, Hkv, M], without a copy."""
    return tensor.expand(-1, kv_heads, -1)
