"""Time per generated token and memory by length of history, compared with a full cache."""

from __future__ import annotations

import copy
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from memagent.streaming.stream import Stream

__all__ = ["time_per_token"]

_ROUNDS = 5
_TOKENS = 64  # per round: two selections at the default refresh
SHAPE: dict[str, Any] = {
    "vocab_size": 4096,
    "hidden_size": 512,
    "intermediate_size": 1408,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "max_position_embeddings": 4096,
}


def time_per_token(
    lengths: Sequence[int], tell: Callable[[str], None], *, dense_up_to: int = 65_536
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """One row per length: milliseconds per token of a stream and of Transformers' full cache.

    The model is a Llama with random weights (SHAPE), float32 on a CPU and bfloat16 on a GPU, since
    the weights do not affect the time. The stream reads its history; the full cache is filled with
    random keys and values, because reading would take time quadratic in the length.
    """
    model = _model()
    rows, metrics = [], {}
    stream = _stream(model)
    for length in sorted(lengths):
        tell(f"time per token after {length:,} tokens: stream")
        _read_up_to(stream, length)
        own = _stream_ms(stream)
        row: dict[str, Any] = {
            "measure": "time per token",
            "history": length,
            "stream_ms": round(own, 3),
            "stream_pool_mb": round(stream.bytes()["pools"] / 2**20, 1),
            "stream_summaries_mb": round(stream.bytes()["summaries"] / 2**20, 1),
            "in_reach_mb": round(_reach_mb(stream), 1),
        }
        metrics[f"ms_per_token@{length}"] = row["stream_ms"]
        if length <= dense_up_to:
            tell(f"time per token after {length:,} tokens: full cache")
            dense, size = _dense_ms(model, length)
            row["full_cache_ms"] = round(dense, 3)
            row["full_cache_mb"] = round(size / 2**20, 1)
            row["speedup"] = round(dense / own, 2)
            metrics[f"dense_ms_per_token@{length}"] = row["full_cache_ms"]
            metrics[f"speedup@{length}"] = row["speedup"]
        rows.append(row)
    first, last = rows[0], rows[-1]
    metrics["time_growth"] = round(last["stream_ms"] / first["stream_ms"], 3)
    return rows, metrics


def _model() -> PreTrainedModel:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    model: Any = LlamaForCausalLM(LlamaConfig(**SHAPE)).train(False)
    gpu = torch.cuda.is_available()
    found: PreTrainedModel = model.to("cuda", torch.bfloat16) if gpu else model
    return found


def _stream(model: PreTrainedModel) -> Stream:
    from memagent.streaming.config import StreamConfig
    from memagent.streaming.stream import Stream

    return Stream(copy.deepcopy(model), StreamConfig(window=512, budget=512, chunk=512))


def _read_up_to(stream: Stream, length: int) -> None:
    import torch

    source = torch.Generator().manual_seed(stream.length)
    missing = length - stream.length
    if missing > 0:
        stream.read(torch.randint(2, SHAPE["vocab_size"], (1, missing), generator=source))


def _stream_ms(stream: Stream) -> float:
    """Median over rounds of the mean time per token, including selection; rewinds the stream."""
    import torch

    mark, times = stream.mark(), []
    for _ in range(_ROUNDS + 1):
        start = time.perf_counter()
        for token in range(_TOKENS):
            stream.read(torch.tensor([[2 + token]]))
        _wait()
        times.append((time.perf_counter() - start) / _TOKENS * 1000)
        stream.rewind(mark)
    return statistics.median(times[1:])


def _dense_ms(model: PreTrainedModel, length: int) -> tuple[float, int]:
    """The same for the stock model with a DynamicCache, and the size of the cache in bytes."""
    import torch
    from transformers import DynamicCache

    stock = copy.deepcopy(model)
    stock.set_attn_implementation("sdpa")
    heads, dim = SHAPE["num_key_value_heads"], SHAPE["hidden_size"] // SHAPE["num_attention_heads"]
    cache = DynamicCache(config=stock.config)
    for layer in range(SHAPE["num_hidden_layers"]):
        filled = torch.randn(2, 1, heads, length, dim, dtype=stock.dtype, device=stock.device)
        cache.update(filled[0], filled[1], layer)
    size = 2 * SHAPE["num_hidden_layers"] * heads * length * dim * stock.dtype.itemsize
    tokens, times = max(4, min(_TOKENS, 2**19 // length)), []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        for token in range(tokens):
            with torch.no_grad(), warnings.catch_warnings(action="ignore"):
                stock(torch.tensor([[2 + token]], device=stock.device), past_key_values=cache)
        _wait()
        times.append((time.perf_counter() - start) / tokens * 1000)
    return statistics.median(times[1:]), size


def _reach_mb(stream: Stream) -> float:
    """Keys and values that one token reads: sinks, recalled tokens and window in all layers."""
    config = stream.config
    reach = config.sinks + config.budget + (config.window or 0) + config.refresh
    size = sum(2 * layer.kv_heads * layer.dim for layer in stream.layers.layers)
    return reach * size * stream.model.dtype.itemsize / 2**20


def _wait() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
