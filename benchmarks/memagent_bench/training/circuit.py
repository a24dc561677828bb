"""Initial weights with an induction circuit in the first two layers, which copies tokens.

Copying from the context needs one head that attends to the previous token and, one layer above, one
that looks for the token that followed the current one earlier. Neither is useful without the other,
so training takes long to find the pair: after four million tokens a model of this size predicted a
repeated passage no better than a new one. Here the pair is built by hand, roughly, with random
projections of the tokens; training sharpens it. Knows nothing of data or optimization.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

__all__ = ["lay_induction"]

SCALE = 0.05  # of the embedding: wide enough for the copied token to move the logits at once
CONSTANT = 6.0  # of the first channel, in units of SCALE: what positional heads compute from
SHARP = 10.0  # root of the amplitude of the previous-token scores, before 1 / sqrt(head_dim)
MATCH = 4.5  # root of the amplitude of the matching scores
COPY = 12.0  # of the copied token in the residual stream, in units of SCALE


def lay_induction(model: Any, seed: int) -> None:
    """Overwrite parts of the first two layers and the embedding of a new model, in place.

    The residual stream gets a constant in channel 0. Its last `head_dim` channels are reserved for
    a projection of the previous token, which the first layer writes there.
    """
    config = model.config
    dim, heads_per_kv = config.head_dim, config.num_attention_heads // config.num_key_value_heads
    start = config.hidden_size - dim
    if config.num_hidden_layers < 2 or start <= dim or config.num_key_value_heads < 2:
        raise ValueError("an induction circuit needs 2 layers, 2 kv heads, 2 head_dims of width")
    random = torch.Generator().manual_seed(seed)
    first, second = (layer.self_attn for layer in model.model.layers[:2])
    with torch.no_grad():
        embedding = model.model.embed_tokens.weight
        embedding.normal_(0, SCALE, generator=random)
        embedding[:, 0] = CONSTANT * SCALE
        embedding[:, start:] = 0
        sketch = torch.randn(2 * dim, config.hidden_size, generator=random) / math.sqrt(start - 1)
        sketch[:, 0] = 0
        sketch[:, start:] = 0
        # The value of channel 0 after the norm of the first layer.
        constant = CONSTANT / math.sqrt((CONSTANT**2 + start - 1) / config.hidden_size)
        _previous_token(first, sketch[:dim], SHARP / constant, config.rope_parameters["rope_theta"])
        for kv in range(2):
            _induction(second, sketch, kv, kv * heads_per_kv * dim)


def _previous_token(layer: Any, sketch: Tensor, amplitude: float, theta: float) -> None:
    """The first query head attends to the previous token and writes a sketch of it."""
    dim = len(sketch)
    half = dim // 2
    # Rotary pairs are (i, i + half). A query rotated back by one position is in phase with the
    # previous token's key; the six fastest pairs distinguish it from its neighbours.
    fast = torch.arange(min(6, half))
    angle = theta ** (-fast / half)
    layer.q_proj.weight[:dim] = 0
    layer.q_proj.weight[fast, 0] = amplitude * torch.cos(angle)
    layer.q_proj.weight[fast + half, 0] = -amplitude * torch.sin(angle)
    layer.k_proj.weight[:dim] = 0
    layer.k_proj.weight[fast, 0] = amplitude
    layer.v_proj.weight[:dim] = sketch
    layer.o_proj.weight[:, :dim] = 0
    layer.o_proj.weight[-dim:, :dim] = torch.eye(dim) * SCALE


def _induction(layer: Any, sketch: Tensor, kv: int, query: int) -> None:
    """The first query head of each kv head finds where the current token was the previous one.

    It copies the token there. Each of the two kv heads compares one half of the sketch, in the slow
    rotary pairs, because the fast ones rotate too far over a distance to match.
    """
    dim = len(sketch) // 2
    quarter, half = dim // 4, dim // 2
    slow = torch.cat([torch.arange(quarter, half), torch.arange(half + quarter, dim)])
    compared = torch.arange(kv * half, (kv + 1) * half)
    key, value = slice(kv * dim, (kv + 1) * dim), sketch[kv * dim : (kv + 1) * dim]
    layer.k_proj.weight[key] = 0
    layer.k_proj.weight[slow + kv * dim, compared - dim] = MATCH
    layer.q_proj.weight[query : query + dim] = 0
    layer.q_proj.weight[slow + query] = MATCH * sketch[compared]
    layer.v_proj.weight[key] = value
    layer.o_proj.weight[:, query : query + dim] = COPY * SCALE * value.T
