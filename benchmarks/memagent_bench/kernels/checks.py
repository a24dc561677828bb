"""Check each page operation against the float64 reference on random inputs, before timing.

Inputs are drawn on the CPU, rounded to the dtype that is checked, and given to the reference in
float64: what is left is the error of the implementation. Knows nothing of speed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from memagent_bench.kernels.setup import BUDGETS, Findings, Setup, relative_error

if TYPE_CHECKING:
    import torch

    from memagent.kernels.layout import Attended

__all__ = ["check"]

_SHORT = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
_FAR = 100_000  # positions start there: an angle that is off shows
_BATCH, _HEADS, _KV_HEADS, _PAGES, _LISTED = 2, 8, 2, 24, 17


@dataclass(frozen=True, slots=True)
class _Case:
    name: str
    tokens: int
    groups: int = 1
    shared: bool = False  # one list for all kv heads
    landmark: bool = False
    bias: bool = False
    softcap: float | None = None
    window: int | None = None


_CASES = (
    _Case("decode", tokens=1),
    _Case("prefill", tokens=100, shared=True),
    _Case("landmark", tokens=33, groups=6, landmark=True),
    _Case("groups", tokens=3, groups=5, bias=True),
    _Case("window", tokens=70, shared=True, softcap=20.0, window=300),
)


def check(setup: Setup, findings: Findings) -> None:
    """Check every operation in every dtype; raises CheckError at the first error."""
    import torch

    draw = torch.Generator().manual_seed(setup.seed)
    for name in setup.checked:
        dtype = getattr(torch, name)
        worst = [_attend(setup, findings, case, dtype, draw) for case in _CASES]
        findings.metrics[f"error_{_SHORT[name]}"] = max(worst)
        _rotate(setup, findings, dtype, draw)
        _score(setup, findings, dtype, draw)
        _summarize(setup, findings, dtype, draw)
        _merge(setup, findings, dtype, draw)
        _landmark(setup, findings, dtype, draw)
    _select(setup, findings, draw)


def _attend(
    setup: Setup, findings: Findings, case: _Case, dtype: torch.dtype, draw: torch.Generator
) -> float:
    import torch

    from memagent.kernels import api

    dim, page = setup.sizes.dim, setup.sizes.page
    q, k, v = _random(
        draw,
        dtype,
        (_BATCH, _HEADS, case.tokens, dim),
        *[(_PAGES, _KV_HEADS, page, dim)] * 2,
    )
    lists = _lists(case, page, draw)
    end = int(lists["page_pos"].max()) + page
    q_pos = (end - case.tokens + torch.arange(case.tokens)).expand(_BATCH, -1)
    bias = torch.zeros(*lists["pages"].shape[:2], case.groups)
    if case.bias:
        bias = torch.randn(bias.shape, generator=draw)
        bias[..., -1] = float("-inf")
    floats = {"q": q, "k_pages": k, "v_pages": v}

    def attend(
        floats: dict[str, torch.Tensor], device: torch.device | str, impl: api.Impl
    ) -> Attended:
        listed = {name: tensor.to(device) for name, tensor in lists.items()}
        return api.attend_pages(
            floats["q"].to(device),
            q_pos.to(device),
            floats["k_pages"].to(device),
            floats["v_pages"].to(device),
            api.PageList(**listed, group_bias=bias.to(device)),
            api.AttentionParams(
                _frequencies(dim).to(device),
                dim**-0.5,
                case.softcap,
                case.window,
                page - 1 if case.landmark else None,
            ),
            impl=impl,
        )

    expected = attend(_double(floats), "cpu", "reference")
    found = attend(floats, setup.device, setup.impl)
    name = str(dtype).removeprefix("torch.")
    errors = {
        part: relative_error(getattr(found, part), getattr(expected, part))
        for part in ("out", "lse", "group_mass")
    }
    for part, error in errors.items():
        findings.check(f"attend {case.name} {part}", name, error)
    return errors["out"]


def _lists(case: _Case, page: int, draw: torch.Generator) -> dict[str, torch.Tensor]:
    """Random pages at compact positions: some partial, some -1, the last in group 0."""
    import torch

    shape = (_BATCH, 1 if case.shared else _KV_HEADS, _LISTED)

    def whole(limit: int) -> torch.Tensor:
        return torch.randint(limit, shape, generator=draw)

    order = torch.rand(*shape[:2], _PAGES, generator=draw).argsort(-1)
    pages = order[..., :_LISTED].clone()
    pages[..., 1:-3][whole(8)[..., 1:-3] == 0] = -1
    cut = whole(4) == 0
    groups = 1 + whole(case.groups - 1) if case.groups > 1 else torch.zeros(shape).long()
    groups[..., 0] = groups[..., -3:] = 0
    return {
        "pages": pages,
        "page_pos": (_FAR + page * torch.arange(_LISTED)).expand(shape).contiguous(),
        "page_lo": torch.where(cut, whole(page // 2), 0),
        "page_hi": torch.where(cut, page // 2 + whole(page // 2), page),
        "page_group": groups,
    }


def _rotate(setup: Setup, findings: Findings, dtype: torch.dtype, draw: torch.Generator) -> None:
    import torch

    from memagent.kernels import api

    (x,) = _random(draw, dtype, (_BATCH, _HEADS, 37, setup.sizes.dim))
    whole = {
        "position": torch.randint(_FAR, (_BATCH, 37), generator=draw),
        "inv_freq": _frequencies(setup.sizes.dim),
    }
    _compare(setup, findings, "rotate", api.rotate_heads, {"x": x}, {}, whole)


def _score(setup: Setup, findings: Findings, dtype: torch.dtype, draw: torch.Generator) -> None:
    from memagent.kernels import api

    dim = setup.sizes.dim
    for tokens, reduce in ((1, "max"), (37, "max"), (37, "mean")):
        q, one, other = _random(
            draw, dtype, (_BATCH, _HEADS, tokens, dim), *[(_BATCH, _KV_HEADS, 131, dim)] * 2
        )
        bound = {"low": one.minimum(other), "high": one.maximum(other)}
        for kind, keys in (("mean", {"mean": one}), ("bound", bound)):
            _compare(
                setup,
                findings,
                f"score {kind}, {reduce} of {tokens}",
                api.score_pages,
                {"q": q, **keys},
                {"reduce": reduce},
            )


def _summarize(setup: Setup, findings: Findings, dtype: torch.dtype, draw: torch.Generator) -> None:
    import torch

    from memagent.kernels import api

    page = setup.sizes.page
    (k,) = _random(draw, dtype, (_PAGES, _KV_HEADS, page, setup.sizes.dim))
    pages = torch.randperm(_PAGES, generator=draw)[:9]
    lo = torch.randint(page, (9,), generator=draw)
    hi = torch.randint(page + 1, (9,), generator=draw)
    whole = {"pages": pages, "page_lo": lo, "page_hi": hi}
    _compare(setup, findings, "summarize", api.summarize_pages, {"k_pages": k}, {}, whole)


def _merge(setup: Setup, findings: Findings, dtype: torch.dtype, draw: torch.Generator) -> None:
    from memagent.kernels import api

    (outs,) = _random(draw, dtype, (5, _BATCH, _HEADS, 3, setup.sizes.dim))
    lses = outs[..., 0].float() * 3
    lses[:, 0, 0, 0] = lses[2] = float("-inf")
    outs[lses.isinf()] = 0
    _compare(setup, findings, "merge", api.merge_states, {"outs": outs, "lses": lses}, {})


def _landmark(setup: Setup, findings: Findings, dtype: torch.dtype, draw: torch.Generator) -> None:
    """Forward and backward, at a length that is not a multiple of the block."""
    import torch

    from memagent.kernels import api

    page, dim = setup.sizes.page, setup.sizes.dim
    tokens = 3 * page + 37
    inputs = _random(
        draw, dtype, (1, 4, tokens, dim), *[(1, 2, tokens, dim)] * 2, (1, 4, tokens, dim)
    )

    def run(tensors: list[torch.Tensor], impl: Any) -> list[torch.Tensor]:
        *leaves, back = [t.detach().clone().requires_grad_() for t in tensors]
        with torch.enable_grad():
            q, k, v = leaves
            out = api.landmark_attention(q, k, v, page, dim**-0.5, impl=impl)
            return [out, *torch.autograd.grad(out, leaves, back.detach())]

    expected = run([t.double() for t in inputs], "reference")
    found = run([t.to(setup.device) for t in inputs], setup.impl)
    name = str(dtype).removeprefix("torch.")
    for part, one, other in zip(("out", "dq", "dk", "dv"), found, expected, strict=True):
        budget = BUDGETS[name] * (1 if part == "out" else 2)
        findings.check(f"landmark {part}", name, relative_error(one, other), budget)


def _select(setup: Setup, findings: Findings, draw: torch.Generator) -> None:
    """Selection equals the reference's, with ties and scores of -inf."""
    import torch

    from memagent.kernels import api

    for length, k in ((9, 16), (1000, 64), (40000, 64)):
        scores = torch.randn(2, 3, length, generator=draw)
        scores[0] = scores[0].mul(8).round()
        scores[1, :, ::3] = float("-inf")
        expected = api.select_pages(scores, k, impl="reference")
        found = api.select_pages(scores.to(setup.device), k, impl=setup.impl)
        wrong = float((found.cpu() != expected).sum())
        findings.check(f"select {k} of {length}", "float32", wrong, 0.0)


def _compare(
    setup: Setup,
    findings: Findings,
    name: str,
    run: Callable[..., Any],
    floats: dict[str, torch.Tensor],
    options: dict[str, Any],
    whole: dict[str, torch.Tensor] | None = None,
) -> None:
    """Compare every tensor that one operation returns with the reference."""
    whole = whole or {}
    expected = run(**_double(floats), **whole, **options, impl="reference")
    there = {key: tensor.to(setup.device) for key, tensor in (floats | whole).items()}
    found = run(**there, **options, impl=setup.impl)
    if not isinstance(expected, tuple):
        expected, found = (expected,), (found,)
    error = max(relative_error(one, other) for one, other in zip(found, expected, strict=True))
    findings.check(name, str(next(iter(floats.values())).dtype).removeprefix("torch."), error)


def _frequencies(dim: int) -> torch.Tensor:
    import torch

    steps = torch.arange(0, dim, 2, dtype=torch.float64)
    return torch.exp(steps * (-math.log(10000.0) / dim))


def _random(
    draw: torch.Generator, dtype: torch.dtype, *shapes: tuple[int, ...]
) -> list[torch.Tensor]:
    import torch

    return [torch.randn(shape, generator=draw).to(dtype) for shape in shapes]


def _double(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.double() for name, tensor in tensors.items()}
