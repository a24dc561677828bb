"""Other attention implementations on plain keys: each SDPA backend, and FlexAttention over blocks.

Knows nothing of pages; a rival that does not run here says why.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch.nn.attention.flex_attention import BlockMask

__all__ = ["Run", "causal", "dense", "flex", "flex_mask", "refusal"]

Run = Callable[[], "torch.Tensor"]
_BACKENDS = ("FLASH_ATTENTION", "CUDNN_ATTENTION", "EFFICIENT_ATTENTION", "MATH")
_FLEX_ROWS = 128  # queries of one block of FlexAttention


@contextlib.contextmanager
def _only(backend: str) -> Iterator[None]:
    """Run SDPA with this backend only; its warnings repeat its error."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with warnings.catch_warnings(), sdpa_kernel(getattr(SDPBackend, backend)):
        warnings.simplefilter("ignore")
        yield


def dense(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> Iterator[tuple[str, Run]]:
    """Each SDPA call in which q [1, Hq, T, D] attends to all of k, v [1, Hkv, N, D].

    Query heads that share a kv head are given as they are, or as more queries of one head: the
    same attention, and every backend takes it.
    """
    from torch.nn.functional import scaled_dot_product_attention as sdpa

    grouped = q.view(1, k.shape[1], -1, q.shape[-1])

    def run(backend: str, query: torch.Tensor) -> torch.Tensor:
        with _only(backend):
            return sdpa(query, k, v, enable_gqa=query.shape[1] != k.shape[1]).view(q.shape)

    for backend in _BACKENDS:
        name = backend.removesuffix("_ATTENTION").lower()
        yield f"sdpa {name}", partial(run, backend, q)
        yield f"sdpa {name}, heads as queries", partial(run, backend, grouped)


def causal(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> Iterator[tuple[str, Run]]:
    """Every SDPA backend with a causal mask over q and k of one length."""
    from torch.nn.functional import scaled_dot_product_attention as sdpa

    def run(backend: str) -> torch.Tensor:
        with _only(backend):
            return sdpa(q, k, v, is_causal=True, enable_gqa=True)

    for backend in _BACKENDS:
        name = backend.removesuffix("_ATTENTION").lower()
        yield f"sdpa {name} causal", partial(run, backend)


def flex_mask(tokens: int, length: int, pages: torch.Tensor, page: int, own: int) -> BlockMask:
    """The block mask that limits FlexAttention to the blocks `pages` [M] of `length` keys.

    The last `own` blocks hold the queries' own keys and are seen causally, all others whole.
    """
    import torch
    from torch.nn.attention.flex_attention import BlockMask

    rows, blocks = -(-tokens // _FLEX_ROWS), length // page

    def listed(chosen: torch.Tensor) -> torch.Tensor:
        room = torch.zeros(1, 1, rows, blocks, dtype=torch.int32, device=pages.device)
        room[..., : len(chosen)] = chosen
        return room

    whole, last = pages[: len(pages) - own], pages[len(pages) - own :]
    # A block of queries sees the keys of its chunk up to the page that contains it.
    reach = ((torch.arange(rows, device=pages.device) + 1) * _FLEX_ROWS // page).clamp(max=own)
    return BlockMask.from_kv_blocks(
        reach.to(torch.int32)[None, None].contiguous(),
        listed(last),
        torch.full((1, 1, rows), len(whole), dtype=torch.int32, device=pages.device),
        listed(whole),
        BLOCK_SIZE=(_FLEX_ROWS, page),
        mask_mod=lambda b, h, query, key: query + (length - tokens) >= key,
        seq_lengths=(tokens, length),
    )


def flex(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: BlockMask) -> Run:
    """FlexAttention, compiled at the first call, of q [1, Hq, T, D] over blocks of k and v."""
    import torch
    from torch.nn.attention.flex_attention import flex_attention

    compiled = torch.compile(flex_attention, dynamic=False)

    def run() -> torch.Tensor:
        found: torch.Tensor = compiled(q, k, v, block_mask=mask, enable_gqa=True)
        return found

    return run


def refusal(error: Exception) -> str:
    """The first line of the error that keeps a rival from running."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:120]}" if lines else type(error).__name__
