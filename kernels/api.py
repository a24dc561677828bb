"""The operations over pages, and the choice of the implementation that runs them.

`impl` is "reference", "torch" (vectorised PyTorch), "triton", or "auto": triton for tensors on a
GPU, torch elsewhere. An implementation requested by name is never replaced by another.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor

from memagent.kernels import reference, rope, vectorised
from memagent.kernels.layout import (
    Attended,
    AttentionParams,
    LayoutError,
    PageList,
    Summary,
    check_attend,
    check_rotate,
    check_same,
)

__all__ = [
    "AttentionParams",
    "Impl",
    "PageList",
    "attend_pages",
    "landmark_attention",
    "merge_states",
    "rotate_heads",
    "score_pages",
    "select_pages",
    "summarize_pages",
]

Impl = Literal["auto", "triton", "torch", "reference"]


def _resolve(impl: Impl, tensor: Tensor) -> str:
    """The implementation to run; LayoutError if the requested one cannot take this tensor."""
    if impl not in ("auto", "triton", "torch", "reference"):
        raise LayoutError(f"no implementation {impl!r}: choose auto, triton, torch or reference")
    if impl == "auto":
        impl = "triton" if tensor.is_cuda and tensor.dtype != torch.float64 else "torch"
    if impl == "triton":
        _require_triton(tensor)
    return impl


def _require_triton(tensor: Tensor) -> None:
    """LayoutError, with advice, if Triton is not installed or cannot run on this tensor."""
    if find_spec("triton") is None:
        raise LayoutError("impl='triton' needs Triton: install memagent[gpu], or use impl='torch'")
    if tensor.dtype == torch.float64:
        raise LayoutError("impl='triton' computes in float32 or less: use impl='torch' for float64")
    if not tensor.is_cuda and not import_module("memagent.kernels.launch").INTERPRETED:
        raise LayoutError(
            f"impl='triton' runs on a GPU, the tensors are on {tensor.device}: use impl='torch', "
            "or start Python with TRITON_INTERPRET=1 to test the kernels"
        )


def _operation(impl: str, name: str) -> Callable[..., Any]:
    """The function `name` of an implementation; each Triton operation is a module of that name.

    `vectorised` has only the operations that it speeds up; the others come from `reference`.
    """
    if impl == "triton":
        return _on_its_device(getattr(import_module(f"memagent.kernels.{name}"), name))
    module = vectorised if impl == "torch" and hasattr(vectorised, name) else reference
    found: Callable[..., Any] = getattr(module, name)
    return found


def _on_its_device(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """The kernel, run on the GPU of its first tensor; Triton alone would use the current GPU."""

    def run(first: Tensor, *rest: Any, **options: Any) -> Any:
        with torch.cuda.device_of(first):  # type: ignore[no-untyped-call]
            return kernel(first, *rest, **options)

    return run


def attend_pages(
    q: Tensor,
    q_pos: Tensor,
    k_pages: Tensor,
    v_pages: Tensor,
    page_list: PageList,
    params: AttentionParams,
    *,
    mass: bool = True,
    splits: int | None = None,
    impl: Impl = "auto",
) -> Attended:
    """Attention of queries over a list of pages, with one softmax over all of them.

    q [B, Hq, T, D] unrotated; q_pos [B, T] virtual positions in tokens; k_pages, v_pages
    [N, Hkv, P, D], keys rotated by their slot inside the page only. A key is visible if its
    virtual position is at most the query's, within `params.window` if that is set, and its slot is
    in [page_lo, page_hi). With `params.landmark_slot`, pages outside group 0 are weighted by their
    landmarks (Landmark Attention, arXiv:2305.16300).

    `mass` asks for the attention mass of each group. `splits` (triton only) divides the list among
    that many programs; the default depends on the GPU.

    Raises LayoutError before any computation if an argument does not fit.
    """
    check_attend(q, q_pos, k_pages, v_pages, page_list, params)
    chosen = _resolve(impl, q)
    options: dict[str, Any] = {"mass": mass}
    if chosen == "triton":
        options["splits"] = splits
    attend = _operation(chosen, "attend")
    found: Attended = attend(q, q_pos, k_pages, v_pages, page_list, params, **options)
    return found


def rotate_heads(x: Tensor, position: Tensor, inv_freq: Tensor, *, impl: Impl = "auto") -> Tensor:
    """Heads x [B, H, T, D] rotated to the positions [B, T] in tokens, in the dtype of x.

    Angles are exact at any position. Raises LayoutError if an argument does not fit.
    """
    check_rotate(x, position, inv_freq)
    chosen = _resolve(impl, x)
    if chosen != "triton":
        return rope.rotate(x, position[:, None], inv_freq)
    found: Tensor = _operation(chosen, "rotate")(x, position, inv_freq)
    return found


def summarize_pages(
    k_pages: Tensor, pages: Tensor, page_lo: Tensor, page_hi: Tensor, *, impl: Impl = "auto"
) -> Summary:
    """Mean, elementwise minimum and maximum of the keys in slots [lo, hi) of each of n pages.

    k_pages [N, Hkv, P, D]; pages, page_lo, page_hi [n]. The keys keep the rotation of their slot,
    so they are compared with q rotated by (q_pos - page_pos), as the page itself is. Zeros where
    lo >= hi. Raises LayoutError if an argument does not fit.
    """
    if pages.dim() != 1 or pages.shape != page_lo.shape or pages.shape != page_hi.shape:
        raise LayoutError("pages, page_lo and page_hi must be [n] each")
    check_same(k_pages=k_pages)
    found: Summary = _operation(_resolve(impl, k_pages), "summarize")(
        k_pages, pages, page_lo, page_hi
    )
    return found


def score_pages(
    q: Tensor,
    mean: Tensor | None = None,
    low: Tensor | None = None,
    high: Tensor | None = None,
    *,
    reduce: Literal["max", "mean", "none"] = "max",
    impl: Impl = "auto",
) -> Tensor:
    """Score of each page for the queries: [B, Hkv, N] float32.

    q [B, Hq, T, D], rotated by the caller to the distance at which far pages are scored. Give
    either `mean` [B, Hkv, N, D], one key per page (mean, landmark or representative), whose score
    is its dot product with q; or `low` and `high`, whose score is an upper bound of the dot product
    with any key of the page (Quest, arXiv:2406.10774).

    reduce="max" takes the largest score over the queries and over the heads that share a kv head,
    "mean" the score of their mean query, and "none" keeps all: [B, Hkv, R x T, N], the R heads of a
    kv head one after another. Raises LayoutError if an argument does not fit.
    """
    bound = low is not None and high is not None
    if (mean is None) != bound or (mean is not None and (low is not None or high is not None)):
        raise LayoutError("give either mean, or low and high")
    keys = {"mean": mean} if mean is not None else {"low": low, "high": high}
    present = {name: tensor for name, tensor in keys.items() if tensor is not None}
    check_same(q=q, **present)
    if reduce not in ("max", "mean", "none"):
        raise LayoutError(f"reduce must be max, mean or none, not {reduce!r}")
    for name, tensor in present.items():
        fits = tensor.dim() == 4 and q.dim() == 4 and tensor.shape[::3] == q.shape[::3]
        if not fits or q.shape[1] % tensor.shape[1]:
            raise LayoutError(
                f"{name} must be [B, Hkv, N, D] for q [B, Hq, T, D], "
                f"not {tuple(tensor.shape)} for {tuple(q.shape)}"
            )
    found: Tensor = _operation(_resolve(impl, q), "score")(q, mean, low, high, reduce=reduce)
    return found


def select_pages(scores: Tensor, k: int, *, impl: Impl = "auto") -> Tensor:
    """Indices of the k largest scores [..., N]: int32 [..., k], ascending.

    Ties go to the lower index; -inf and NaN are never selected. Missing entries are -1. Raises
    LayoutError for k < 1 or integer scores.
    """
    if k < 1 or not scores.is_floating_point() or scores.dim() < 1:
        raise LayoutError(f"k must be at least 1 and scores floating: {k}, {scores.dtype}")
    scores = torch.where(scores.isnan(), float("-inf"), scores)
    found: Tensor = _operation(_resolve(impl, scores), "select")(scores, k)
    return found


def merge_states(outs: Tensor, lses: Tensor, *, impl: Impl = "auto") -> tuple[Tensor, Tensor]:
    """Merge S partial attention states over disjoint keys into one.

    outs [S, ..., D], lses [S, ...]; returns out [..., D] and lse [...] float32. Where all parts
    are empty (lse -inf), out is 0 and lse -inf. Raises LayoutError if the shapes differ.
    """
    if lses.shape != outs.shape[:-1]:
        raise LayoutError(f"lses must be {tuple(outs.shape[:-1])}, not {tuple(lses.shape)}")
    found: tuple[Tensor, Tensor] = _operation(_resolve(impl, outs), "merge")(outs, lses)
    return found


def landmark_attention(
    q: Tensor, k: Tensor, v: Tensor, block: int, scale: float, *, impl: Impl = "auto"
) -> Tensor:
    """Causal grouped softmax for training (Landmark Attention, arXiv:2305.16300): [B, Hq, T, D].

    q [B, Hq, T, D], k and v [B, Hkv, T, D], already rotated. The last token of each block of
    `block` tokens is its landmark. A query divides its weight between the tokens of its own block
    and the landmarks of earlier blocks; a landmark's weight is divided among the tokens of its
    block. The values of landmarks never contribute. Differentiable in q, k and v. Raises
    LayoutError if an argument does not fit.
    """
    check_same(q=q, k=k, v=v)
    if q.dim() != 4 or k.shape != v.shape or k.shape[::2] != q.shape[::2]:
        raise LayoutError(f"q, k, v: {tuple(q.shape)}, {tuple(k.shape)}, {tuple(v.shape)}")
    if q.shape[1] % k.shape[1] or q.shape[3] != k.shape[3]:
        raise LayoutError("query heads must be a multiple of kv heads, of one head size")
    if block < 2:
        raise LayoutError(f"a block holds at least one token and its landmark, not {block}")
    found: Tensor = _operation(_resolve(impl, q), "landmark")(q, k, v, block, scale)
    return found
