"""Rotary positions: angles that are exact at any position, and rotation of vectors by them.

The layout is that of Transformers: dimension i of a head is paired with dimension i + D/2. Knows
nothing of pages.

Source: "RoFormer: Enhanced Transformer with Rotary Position Embedding", arXiv:2104.09864.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["cos_sin", "fixed_turns", "rotate", "turn"]


def cos_sin(distance: Tensor, inv_freq: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosine and sine of distance × frequency, [..., D/2] for distances [...].

    The angle is a float64 product: in float32 it would be off by 0.38 rad at ten million tokens.
    """
    angle = distance.double().unsqueeze(-1) * inv_freq.double()
    return angle.cos().to(dtype), angle.sin().to(dtype)


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x [..., D] rotated by angles whose cosine and sine are [..., D/2]."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def rotate(x: Tensor, position: Tensor, inv_freq: Tensor) -> Tensor:
    """x [..., D] rotated to positions [...] (broadcast), in the dtype of x.

    Half-precision vectors are rotated in float32 and rounded once.
    """
    exact = x.dtype if x.dtype in (torch.float32, torch.float64) else torch.float32
    cos, sin = cos_sin(position, inv_freq, exact)
    return turn(x.to(exact), cos, sin).to(x.dtype)


def fixed_turns(inv_freq: Tensor) -> Tensor:
    """Frequencies as int64 fractions of a full turn, scaled by 2^64.

    The int64 product with a distance wraps around at whole turns, so a kernel gets the fraction
    of a turn exactly at any distance: angle = 2π × 2^-64 × product.
    """
    share = (inv_freq.double() / (2 * math.pi)) % 1.0
    share = torch.where(share >= 0.5, share - 1.0, share)
    return (share * 2.0**64).to(torch.int64)
