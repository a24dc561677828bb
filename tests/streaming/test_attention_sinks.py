"""Sinks and window alone are StreamingLLM, computed here from its definition, token by token."""

import copy

import pytest
import torch
from transformers import PreTrainedModel

from memagent.streaming.config import StreamConfig
from memagent.streaming.stream import Stream
from tests.streaming.models import make, tokens


def turned(x: torch.Tensor, position: torch.Tensor, inv_freq: torch.Tensor) -> torch.Tensor:
    angle = position[:, None].double() * inv_freq.double()
    cos, sin = torch.cat((angle, angle), -1).cos(), torch.cat((angle, angle), -1).sin()
    half = x.shape[-1] // 2
    swapped = torch.cat((-x[..., half:], x[..., :half]), -1)
    return (x.double() * cos + swapped.double() * sin).float()


def streaming_llm(
    model: PreTrainedModel, read: torch.Tensor, sinks: int, window: int
) -> torch.Tensor:
    """Logits after each token of one row: a rolling cache, positions counted inside it."""
    config, inner = model.config, model.model
    groups = config.num_attention_heads // config.num_key_value_heads
    dim = config.hidden_size // config.num_attention_heads
    cache: list[list[tuple[torch.Tensor, torch.Tensor]]] = [[] for _ in inner.layers]
    found = []
    for token in read[0]:
        x = inner.embed_tokens(token[None])
        for layer, kept in zip(inner.layers, cache, strict=True):
            attention, y = layer.self_attn, layer.input_layernorm(x)
            q, k, v = (
                part(y).view(-1, dim)
                for part in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            kept.append((k, v))
            if len(kept) > sinks + window:
                del kept[sinks]
            place = torch.arange(len(kept))
            keys = torch.stack([k for k, _ in kept], dim=1)
            values = torch.stack([v for _, v in kept], dim=1).repeat_interleave(groups, 0)
            keys = turned(keys, place, inner.rotary_emb.inv_freq).repeat_interleave(groups, 0)
            q = turned(q[:, None], place[-1:], inner.rotary_emb.inv_freq)
            share = (q @ keys.transpose(1, 2) * dim**-0.5).softmax(-1)
            x = x + attention.o_proj((share @ values).reshape(1, -1))
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        found.append(model.lm_head(inner.norm(x)))
    return torch.cat(found)


@pytest.mark.parametrize(("sinks", "window"), [(4, 20), (0, 9), (1, 33)])
def test_sinks_and_window_are_streaming_llm(sinks: int, window: int) -> None:
    model, read = make("llama"), tokens(140)
    with torch.no_grad():
        wanted = streaming_llm(model, read, sinks, window)
    stream = Stream(
        copy.deepcopy(model),
        StreamConfig(page=16, sinks=sinks, window=window, chunk=1, refresh=1, selector="recent"),
    )
    for place in range(read.shape[1]):
        stream.read(read[:, place : place + 1])
        assert stream.logits is not None
        torch.testing.assert_close(stream.logits[0], wanted[place], atol=2e-4, rtol=0)


def test_tokens_outside_the_window_are_not_attended_to() -> None:
    """Two histories that differ only there give the same logits."""
    model = make("llama", num_hidden_layers=1)  # deeper layers carry what was seen on
    first, second = tokens(40, seed=1), tokens(40, seed=2)
    second[:, :4] = first[:, :4]
    rest = tokens(60, seed=3)
    found = []
    for begin in (first, second):
        stream = Stream(model, StreamConfig(page=16, window=20, chunk=8, selector="recent"))
        stream.read(torch.cat((begin, rest), dim=1))
        found.append(stream.logits)
    torch.testing.assert_close(found[0], found[1], atol=0, rtol=0)
    full = []
    for begin in (first, second):
        stream = Stream(model, StreamConfig(page=16, window=None, chunk=8, selector="recent"))
        stream.read(torch.cat((begin, rest), dim=1))
        full.append(stream.logits)
    assert (full[0] - full[1]).abs().max() > 1e-2
