"""Running a stock Transformers model over pages: its attention is registered, not patched.

The model is called with every position 0, where RoPE is the identity, so queries and keys arrive
unrotated; the frequencies are read from the model's own rotary module. Knows nothing of pages: it
calls `attend` of the running stream with the new q, k and v of each layer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from memagent.errors import EngineError

__all__ = ["Attention", "Layer", "bind", "fingerprint", "layers_of", "running"]

NAME = "memagent_pages"
_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True, slots=True)
class Layer:
    """What attention needs to know of a layer: kv heads, head size D, RoPE frequencies [D/2].

    `order` [D] permutes the dimensions of a head into pairs (i, i + D/2) if the model rotates only
    some of them; None if it rotates all.
    """

    kv_heads: int
    dim: int
    inv_freq: Tensor
    order: Tensor | None


class Attention(Protocol):
    """An attention that runs in place of the model's own."""

    def attend(
        self,
        layer: int,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        *,
        scale: float,
        softcap: float | None,
        sliding: int | None,
    ) -> Tensor:
        """Attend with the new q [B, Hq, T, D] and k, v [B, Hkv, T, D], unrotated: [B, Hq, T, D].

        `sliding` is the layer's own window in tokens, as the model was trained with it.
        """


_RUNNING: ContextVar[Attention] = ContextVar("memagent_stream")


@contextmanager
def running(attention: Attention) -> Iterator[None]:
    """Make forward calls of a bound model inside this block use `attention`."""
    token = _RUNNING.set(attention)
    try:
        yield
    finally:
        _RUNNING.reset(token)


def _attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Called by Transformers for each layer; its mask is unused, as all positions are 0."""
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    index = int(module.layer_idx)  # type: ignore[arg-type]
    out = _RUNNING.get().attend(
        index, query, key, value, scale=scale, softcap=softcap, sliding=sliding_window
    )
    return out.transpose(1, 2).contiguous(), None


def _no_mask(*arguments: Any, **options: Any) -> None:
    """No mask: page lists determine what is visible."""


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, _no_mask)


def bind(model: PreTrainedModel) -> list[Layer]:
    """Make a model use the attention set by `running`; returns its layers.

    Raises EngineError for an unsupported model.
    """
    layers = layers_of(model)
    model.set_attn_implementation(NAME)
    model.train(False)
    return layers


def layers_of(model: PreTrainedModel) -> list[Layer]:
    """The layers of a model; EngineError for a model without RoPE or with unknown layers."""
    config = model.config.get_text_config()
    rotary = next((m for name, m in model.named_modules() if name.endswith("rotary_emb")), None)
    if rotary is None or not hasattr(config, "num_key_value_heads"):
        raise EngineError(
            f"{model.config.model_type!r} has no rotary positions (RoPE): the stream engine runs "
            "models such as Llama, Qwen, Mistral, Gemma"
        )
    types = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if unknown := sorted(set(types) - {"full_attention", "sliding_attention"}):
        raise EngineError(f"{model.config.model_type!r} has unsupported layer types: {unknown}")
    layers = []
    for layer_type in types:
        inv_freq = getattr(rotary, f"{layer_type}_inv_freq", None)
        inv_freq = rotary.inv_freq if inv_freq is None else inv_freq
        padded, order = _padded(inv_freq.detach().float(), dim)
        layers.append(Layer(config.num_key_value_heads, dim, padded, order))
    return layers


def _padded(inv_freq: Tensor, dim: int) -> tuple[Tensor, Tensor | None]:
    """Frequencies [D/2] and the order of dimensions if only the first 2F of D are rotated."""
    rotated = 2 * inv_freq.shape[0]
    if rotated == dim:
        return inv_freq, None
    still = torch.arange(rotated, dim, device=inv_freq.device)
    pairs = torch.arange(rotated, device=inv_freq.device).chunk(2)
    halves = still.chunk(2)
    order = torch.cat((pairs[0], halves[0], pairs[1], halves[1]))
    return torch.cat((inv_freq, inv_freq.new_zeros(len(halves[0])))), order


def fingerprint(model: PreTrainedModel) -> str:
    """A hash of the model's weights: keys and values of other weights cannot be used with it.

    Hashes the configuration and, for each parameter, its ends and the integer sum of its bits. The
    sum of the values would depend on the machine and the number of threads.
    """
    plain = {k: v for k, v in model.config.to_dict().items() if not k.startswith("_")}
    plain.pop("transformers_version", None)
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode())
    for name, parameter in model.state_dict().items():
        flat = parameter.detach().flatten()
        bits = int(flat.view(_INTEGERS[flat.element_size()]).sum(dtype=torch.int64))
        ends = torch.cat((flat[:64], flat[-64:]))
        digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype} {bits}".encode())
        digest.update(ends.float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
