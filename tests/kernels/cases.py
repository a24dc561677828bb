"""Random page lists for the tests of the kernels, and the table of implementations."""

from typing import Any

import torch

from memagent.kernels import AttentionParams, PageList, attend_pages

# Every test of attention runs through all of these.
RUNS: dict[str, dict[str, Any]] = {
    "torch": {"impl": "torch"},
    "triton": {"impl": "triton"},
    "triton in 2 parts": {"impl": "triton", "splits": 2},
    "triton in 5 parts": {"impl": "triton", "splits": 5},
}
OPERATIONS = ("torch", "triton")


def frequencies(dim: int) -> torch.Tensor:
    """Llama's, in float32 as models hold them."""
    return 10_000.0 ** (-torch.arange(0, dim, 2) / dim)


def case(
    *, seed=0, batch=2, kv_heads=2, group=4, tokens=1, dim=32, slots=16, entries=6, shared=False,
    groups=3, base=1000, dtype=torch.float32,
) -> dict[str, Any]:  # fmt: skip
    """Arguments for `attended`: positions around `base`, some padding, some entries empty."""
    random = torch.Generator().manual_seed(seed)

    def whole(low, high, *shape, dtype=torch.int32):
        return torch.randint(low, high, shape, generator=random, dtype=dtype)

    def real(*shape):
        return torch.randn(*shape, generator=random)

    number = entries + 3
    lists = (batch, 1 if shared else kv_heads, entries)
    bias = real(*lists[:2], groups)
    bias[:, :, -1] = float("-inf")
    pages = whole(-1, number, *lists)
    pages[-1, -1, 1:] = -1
    return {
        "q": real(batch, kv_heads * group, tokens, dim).to(dtype),
        "q_pos": base + 2 * slots + whole(0, 2 * slots, batch, tokens, dtype=torch.int64),
        "k_pages": real(number, kv_heads, slots, dim).to(dtype),
        "v_pages": real(number, kv_heads, slots, dim).to(dtype),
        "pages": pages,
        "page_pos": base + whole(-3 * slots, 4 * slots, *lists),
        "page_lo": whole(0, slots // 2, *lists),
        "page_hi": whole(slots // 3, slots + 1, *lists),
        "page_group": whole(0, groups, *lists),
        "group_bias": bias,
        "inv_freq": frequencies(dim),
        "scale": dim**-0.5,
    }


def in_float64(made: dict[str, Any]) -> dict[str, Any]:
    """The same numbers, held in float64."""
    return {n: v.double() if n in ("q", "k_pages", "v_pages") else v for n, v in made.items()}


def ordered(made: dict[str, Any]) -> dict[str, Any]:
    """All pages listed in order, complete, bias 0: a text and queries at its end."""
    batch, _, tokens, _ = made["q"].shape
    number, _, slots, _ = made["k_pages"].shape
    pages = torch.arange(number).expand(batch, 1, number)
    return {
        **made,
        "q_pos": number * slots - tokens + torch.arange(tokens).expand(batch, tokens),
        "pages": pages,
        "page_pos": pages * slots,
        "page_lo": torch.zeros_like(pages),
        "page_hi": torch.full_like(pages, slots),
        "page_group": pages % 3,
        "group_bias": torch.zeros(batch, 1, 3),
    }


def same(found, wanted, dtype, factor=1.0) -> None:
    """Equal up to the rounding of the dtype; infinities in the same places."""
    room = factor * (2e-5 if dtype == torch.float32 else 8 * torch.finfo(dtype).eps)
    for name, a, b in zip(("out", "lse", "mass"), found, wanted, strict=True):
        if b is not None:
            torch.testing.assert_close(
                a.double(), b.double(), atol=room, rtol=room, msg=lambda m, n=name: f"{n}: {m}"
            )


def attended(made: dict[str, Any], **options):
    """`attend_pages` of a case."""
    arguments = {**made, **options}
    for name, kind in (("page_list", PageList), ("params", AttentionParams)):
        fields = {n: arguments.pop(n) for n in kind.__slots__ if n in arguments}
        arguments[name] = kind(**fields)
    return attend_pages(**arguments)
