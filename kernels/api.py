"""The operations over pages and which implementation runs them.

`impl` is "reference", "torch" (vectorised PyTorch), "triton", or "auto": triton for tensors on a
GPU, torch elsewhere. An implementation asked for by name is never replaced by another.
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
    LayoutError,
    Summary,
    check_attend,
    check_rotate,
    check_same,
)

__all__ = [
    "Impl",
    "attend_pages",
    "landmark_attention",
    "merge_states",
    "rotate_heads",
    "score_pages",
    "select_pages",
    "summarize_pages",
]

Impl = Literal["auto", "triton", "torch", "reference"]


def _chosen(impl: Impl, tensor: Tensor) -> str:
    if impl not in ("auto", "triton", "torch", "reference"):
        raise LayoutError(f"no implementation {impl!r}: choose auto, triton, torch or reference")
    if impl == "auto":
        impl = "triton" if tensor.is_cuda and tensor.dtype != torch.float64 else "torch"
    if impl == "triton":
        _need_triton(tensor)
    return impl


def _need_triton(tensor: Tensor) -> None:
    """Triton is installed and can run on this tensor; says what to do where it cannot."""
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
    """The function `name` of an implementation; Triton's stand one a file, by the same name.

    The vectorised path has its own only where it gains; elsewhere the law is vectorised already.
    """
    if impl == "triton":
        return _beside(getattr(import_module(f"memagent.kernels.{name}"), name))
    home = vectorised if impl == "torch" and hasattr(vectorised, name) else reference
    found: Callable[..., Any] = getattr(home, name)
    return found


def _beside(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Run on the GPU of its first tensor, whichever is the current one: Triton would not look."""

    def run(first: Tensor, *rest: Any, **options: Any) -> Any:
        with torch.cuda.device_of(first):  # type: ignore[no-untyped-call]
            return kernel(first, *rest, **options)

    return run


def attend_pages(
    q: Tensor,
    q_pos: Tensor,
    k_pages: Tensor,
    v_pages: Tensor,
    pages: Tensor,
    page_pos: Tensor,
    page_lo: Tensor,
    page_hi: Tensor,
    page_group: Tensor,
    group_bias: Tensor,
    inv_freq: Tensor,
    scale: float,
    landmark_slot: int | None = None,
    *,
    softcap: float | None = None,
    window: int | None = None,
    mass: bool = True,
    splits: int | None = None,
    impl: Impl = "auto",
) -> Attended:
    """Attention of queries over a list of pages, with one softmax over all of them.

    q [B, Hq, T, D] unrotated, q_pos [B, T] its virtual positions; k_pages, v_pages
    [N, Hkv, P, D], keys rotated by their slot inside the page only. The lists are
    [B, Hkv or 1, M]: pages (physical ids, -1 pads), page_pos (virtual position of slot 0), page_lo
    and page_hi (the slots [lo, hi) that count), page_group. A key is seen where its virtual
    position does not lie behind the query's, and, with `window`, less than that before it.

    group_bias [B, Hkv or 1, G] is added to the logits of a group: 0 is ordinary softmax, -inf
    removes the group. With `landmark_slot`, pages of groups above 0 get the weight of their
    landmark's logit, shared out inside the page (Landmark Attention, arXiv:2305.16300); group 0
    stays ordinary, and no landmark lends its value. inv_freq [D/2]; `softcap` as in Gemma 2.
    `splits` (triton) divides the list among programs; by default it follows from the machine.

    Returns out, lse and group_mass (`Attended`). Raises LayoutError before anything runs.
    """
    lists = {
        "pages": pages,
        "page_pos": page_pos,
        "page_lo": page_lo,
        "page_hi": page_hi,
        "page_group": page_group,
    }
    check_attend(q, q_pos, k_pages, v_pages, lists, group_bias, inv_freq, landmark_slot, window)
    chosen = _chosen(impl, q)
    options: dict[str, Any] = {"softcap": softcap, "window": window, "mass": mass}
    if chosen == "triton":
        options["splits"] = splits
    found: Attended = _operation(chosen, "attend")(
        q, q_pos, k_pages, v_pages, *lists.values(),
        group_bias, inv_freq, scale, landmark_slot, **options,
    )  # fmt: skip
    return found


def rotate_heads(x: Tensor, position: Tensor, inv_freq: Tensor, *, impl: Impl = "auto") -> Tensor:
    """Heads x [B, H, T, D] rotated to the positions [B, T], at any distance, in the dtype of x."""
    check_rotate(x, position, inv_freq)
    chosen = _chosen(impl, x)
    if chosen != "triton":
        return rope.rotate(x, position[:, None], inv_freq)
    found: Tensor = _operation(chosen, "rotate")(x, position, inv_freq)
    return found


def summarize_pages(
    k_pages: Tensor, pages: Tensor, page_lo: Tensor, page_hi: Tensor, *, impl: Impl = "auto"
) -> Summary:
    """Mean, smallest and largest key over the slots [lo, hi) of each of n pages.

    k_pages [N, Hkv, P, D]; pages, page_lo, page_hi [n]. The keys keep the rotation of their slot,
    so q rotated by (q_pos - page_pos) meets them as it would meet the page. Zeros where lo >= hi.
    """
    if pages.dim() != 1 or pages.shape != page_lo.shape or pages.shape != page_hi.shape:
        raise LayoutError("pages, page_lo and page_hi must be [n] each")
    check_same(k_pages=k_pages)
    found: Summary = _operation(_chosen(impl, k_pages), "summarize")(
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
    """How well each page answers the queries: [B, Hkv, N] float32.

    q [B, Hq, T, D], rotated by the caller to the distance at which far pages are scored; either
    `mean` [B, Hkv, N, D] (any one key a page: mean, landmark, representative), whose score is the
    product, or `low` and `high`, whose score bounds every product from above (Quest,
    arXiv:2406.10774). The largest over the queries and the heads that share a kv head counts, or
    with reduce="mean" the score of their mean, and
    with reduce="none" each for itself: [B, Hkv, R x T, N], the R heads of a kv head in turn.
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
                f"{name} must be [B, Hkv, N, D] beside q [B, Hq, T, D], "
                f"not {tuple(tensor.shape)} beside {tuple(q.shape)}"
            )
    found: Tensor = _operation(_chosen(impl, q), "score")(q, mean, low, high, reduce=reduce)
    return found


def select_pages(scores: Tensor, k: int, *, impl: Impl = "auto") -> Tensor:
    """Indices of the k largest scores [..., N], ascending, int32 [..., k], -1 where there are less.

    Of equal scores the first is taken; -inf and NaN never are.
    """
    if k < 1 or not scores.is_floating_point() or scores.dim() < 1:
        raise LayoutError(f"k must be at least 1 and scores floating: {k}, {scores.dtype}")
    scores = torch.where(scores.isnan(), float("-inf"), scores)
    found: Tensor = _operation(_chosen(impl, scores), "select")(scores, k)
    return found


def merge_states(outs: Tensor, lses: Tensor, *, impl: Impl = "auto") -> tuple[Tensor, Tensor]:
    """One attention state out of S partial ones over different keys.

    outs [S, ..., D], lses [S, ...]; returns out [..., D] and lse [...] float32. Where all parts
    are empty (lse -inf) the output is 0 and the lse -inf.
    """
    if lses.shape != outs.shape[:-1]:
        raise LayoutError(f"lses must be {tuple(outs.shape[:-1])}, not {tuple(lses.shape)}")
    found: tuple[Tensor, Tensor] = _operation(_chosen(impl, outs), "merge")(outs, lses)
    return found


def landmark_attention(
    q: Tensor, k: Tensor, v: Tensor, block: int, scale: float, *, impl: Impl = "auto"
) -> Tensor:
    """Causal grouped softmax for training (Landmark Attention, arXiv:2305.16300): [B, Hq, T, D].

    q [B, Hq, T, D], k and v [B, Hkv, T, D], rotated already. The last token of each block of
    `block` is its landmark. A query shares its weight among the tokens of its own block and the
    landmarks of earlier blocks; a landmark's weight is shared out inside its block. Landmarks lend
    no value. Differentiable in q, k and v.
    """
    check_same(q=q, k=k, v=v)
    if q.dim() != 4 or k.shape != v.shape or k.shape[::2] != q.shape[::2]:
        raise LayoutError(f"q, k, v: {tuple(q.shape)}, {tuple(k.shape)}, {tuple(v.shape)}")
    if q.shape[1] % k.shape[1] or q.shape[3] != k.shape[3]:
        raise LayoutError("query heads must be a multiple of kv heads, of one head size")
    if block < 2:
        raise LayoutError(f"a block holds at least one token and its landmark, not {block}")
    found: Tensor = _operation(_chosen(impl, q), "landmark")(q, k, v, block, scale)
    return found
