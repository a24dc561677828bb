"""Angles of rotary positions inside Triton kernels, exact at any distance without float64.

A frequency is an int64 fraction of a turn (`rope.fixed_turns`): its product with a distance wraps
around at whole turns and leaves the fraction, which float32 represents to 6e-8 rad.
"""

from __future__ import annotations

import math
from typing import Any

import triton.language as tl
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from memagent.kernels.launch import jit
from memagent.kernels.rope import fixed_turns

__all__ = ["cos_sin_of", "turned", "turns_of"]

_RADIANS = tl.constexpr(2 * math.pi * 2.0**-32)
_known: Any = WeakIdKeyDictionary()


def turns_of(inv_freq: Tensor) -> Tensor:
    """`fixed_turns`, cached per tensor: a decoding step needs it in every layer."""
    version = 0 if inv_freq.is_inference() else inv_freq._version
    found = _known.get(inv_freq)
    if found is None or found[0] != version or inv_freq.is_inference():
        found = _known[inv_freq] = (version, fixed_turns(inv_freq).contiguous())
    turns: Tensor = found[1]
    return turns


@jit
def cos_sin_of(product: tl.tensor) -> tl.tensor:
    """Cosine and sine of distance x turns, an int64 product that has wrapped around.

    A Taylor series up to 45 degrees on the upper 32 bits of the turn; large angles cost no more.
    """
    upper = (product >> 32).to(tl.int32)
    quarter = ((upper >> 29) + 1) >> 1
    x = (upper - (quarter << 30)).to(tl.float32) * _RADIANS
    y = x * x
    sin = x * (1 + y * (-1 / 6 + y * (1 / 120 + y * (-1 / 5040 + y / 362880))))
    cos = 1 + y * (-1 / 2 + y * (1 / 24 + y * (-1 / 720 + y / 40320)))
    odd = (quarter & 1) != 0
    cos, sin = tl.where(odd, sin, cos), tl.where(odd, cos, sin)
    cos = tl.where(((quarter + 1) & 2) != 0, -cos, cos)
    return cos, tl.where((quarter & 2) != 0, -sin, sin)


@jit
def turned(source: tl.tensor, apart: tl.tensor, fits: tl.tensor, product: tl.tensor) -> tl.tensor:
    """The two halves of the vectors at `source`, `apart` elements apart, rotated in float32."""
    first = tl.load(source, mask=fits, other=0.0).to(tl.float32)
    second = tl.load(source + apart, mask=fits, other=0.0).to(tl.float32)
    cos, sin = cos_sin_of(product)
    return first * cos - second * sin, second * cos + first * sin
