"""Summaries, scores, choice, merging and rotation: each against the reference or the definition."""

import math

import pytest
import torch

from memagent.kernels import (
    merge_states,
    rotate_heads,
    score_pages,
    select_pages,
    summarize_pages,
)
from memagent.kernels.rope import fixed_turns
from tests.kernels.cases import OPERATIONS, frequencies

EACH = pytest.mark.parametrize("impl", OPERATIONS)
NOTHING = float("-inf")


def real(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def room(dtype):
    return {"atol": 1e-5, "rtol": 1e-5} if dtype == torch.float32 else {"atol": 1e-2, "rtol": 1e-2}


@EACH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("slots", "dim"), [(16, 32), (64, 80), (50, 24), (130, 160)])
def test_summaries(impl, dtype, slots, dim):
    keys = real(5, 2, slots, dim).to(dtype)
    pages = torch.tensor([4, 0, 0, 2, 1, 3])
    lo, hi = torch.tensor([0, 3, 5, 1, slots, 4]), torch.tensor([slots, 9, 6, slots, slots, 2])
    found = summarize_pages(keys, pages, lo, hi, impl=impl)
    wanted = summarize_pages(keys.double(), pages, lo, hi, impl="reference")
    # One rounding of the mean; the extremes are keys as they are.
    torch.testing.assert_close(found.mean.double(), wanted.mean, **room(dtype))
    assert torch.equal(found.low.double(), wanted.low)
    assert torch.equal(found.high.double(), wanted.high)
    assert (found.mean[4:] == 0).all()


@EACH
def test_slots_outside_a_summary_may_hold_anything(impl):
    keys = real(1, 2, 16, 32)
    keys[:, :, 5:] = float("nan")
    found = summarize_pages(
        keys, torch.tensor([0]), torch.tensor([2]), torch.tensor([5]), impl=impl
    )
    torch.testing.assert_close(found.mean[0], keys[0, :, 2:5].mean(1))
    assert torch.equal(found.high[0], keys[0, :, 2:5].amax(1))


@EACH
@pytest.mark.parametrize("reduce", ["max", "mean", "none"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(
    ("batch", "group", "tokens", "dim"),
    [(2, 4, 3, 32), (1, 7, 1, 80), (2, 1, 1, 96), (1, 8, 17, 64)],
)
def test_scores(impl, reduce, dtype, batch, group, tokens, dim):
    q = real(batch, 2 * group, tokens, dim).to(dtype)
    keys = real(batch, 2, 70, 5, dim, seed=1).to(dtype)
    q_exact, keys_exact = q.double(), keys.double()
    low, high = keys.amin(3), keys.amax(3)
    found = score_pages(q, low=low, high=high, reduce=reduce, impl=impl)
    wanted = score_pages(
        q_exact, low=low.double(), high=high.double(), reduce=reduce, impl="reference"
    )
    # Half precision may round the mean query and the result; sums are float32.
    allowed = 2e-5 if dtype == torch.float32 else dim * 2 * torch.finfo(dtype).eps
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), wanted, atol=allowed, rtol=allowed)
    mean = keys.float().mean(3).to(dtype)
    found = score_pages(q, mean, reduce=reduce, impl=impl)
    wanted = score_pages(q_exact, mean.double(), reduce=reduce, impl="reference")
    torch.testing.assert_close(found.double(), wanted, atol=allowed, rtol=allowed)
    if reduce == "max":
        rows = q_exact.reshape(batch, 2, -1, dim)
        true = torch.einsum("bhrd,bhnpd->bhrnp", rows, keys_exact).amax((2, 4))
        bound = score_pages(q, low=low, high=high, impl=impl).double()
        assert (bound >= true - allowed).all()


@EACH
@pytest.mark.parametrize(
    ("number", "k"),
    [
        *[(1, 1), (7, 3), (5, 9), (64, 64), (1000, 33)],
        *[(16384, 64), (16385, 40), (40000, 50), (40000, 9000)],
    ],
)
def test_choice(impl, number, k):
    scores = real(2, 3, number)
    scores[0] = scores[0].round(decimals=1)  # many equals
    scores[:, :, 3::7] = NOTHING
    scores[:, :, 4::9] = float("nan")
    scores[1, 1] = 0.0
    scores[1, 1, ::2] = -0.0
    scores[1, 2] = NOTHING
    found = select_pages(scores, k, impl=impl)
    assert found.dtype == torch.int32
    assert torch.equal(found, select_pages(scores, k, impl="reference"))


@EACH
def test_choice_of_few(impl):
    inf = float("inf")
    rows = [[1.0, 1.0, 1.0, NOTHING, 0.5], [-3.0, -0.0, 0.0, -1e-38, inf]]
    scores = torch.tensor(rows)
    assert select_pages(scores, 2, impl=impl).tolist() == [[0, 1], [1, 4]]
    assert select_pages(scores, 5, impl=impl).tolist() == [[0, 1, 2, 4, -1], [0, 1, 2, 3, 4]]
    assert select_pages(scores.half(), 2, impl=impl).tolist() == [[0, 1], [1, 4]]
    assert select_pages(scores[0], 1, impl=impl).tolist() == [0]


@EACH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("parts", "dim"), [(1, 16), (5, 80), (40, 32)])
def test_merging(impl, dtype, parts, dim):
    outs, lses = real(parts, 2, 3, dim).to(dtype), real(parts, 2, 3, seed=1) * 10
    lses[:, 0, 0] = NOTHING
    lses[parts // 2, 1] = NOTHING
    out, lse = merge_states(outs, lses, impl=impl)
    wanted, total = merge_states(outs.double(), lses.double(), impl="reference")
    torch.testing.assert_close(out.double(), wanted, **room(dtype))
    torch.testing.assert_close(lse.double(), total, atol=1e-5, rtol=1e-5)
    assert (out[0, 0] == 0).all()
    assert lse[0, 0].isneginf()


@EACH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("dim", [16, 80, 128])
def test_rotation_at_ten_million(impl, dtype, dim):
    x = real(2, 3, 19, dim).to(dtype)
    far = torch.arange(-10_000_000, 10_000_000, 526_316)[:38].reshape(2, 19)
    found = rotate_heads(x, far, frequencies(dim), impl=impl)
    exact = rotate_heads(x.double(), far, frequencies(dim), impl="reference")
    assert found.dtype == dtype
    allowed = 2e-6 if dtype == torch.float32 else 2e-3
    torch.testing.assert_close(found.double(), exact, atol=allowed, rtol=allowed)
    angle = far.double()[..., None] * frequencies(dim).double()
    first = x[:, 0, :, 0].double() * angle[..., 0].cos() - x[:, 0, :, dim // 2].double() * (
        angle[..., 0].sin()
    )
    torch.testing.assert_close(exact[:, 0, :, 0], first)


def test_the_known_turns_follow_a_change():
    from memagent.kernels.angles import turns_of

    inv_freq = frequencies(32)
    assert torch.equal(turns_of(inv_freq), fixed_turns(inv_freq))
    assert turns_of(inv_freq) is turns_of(inv_freq)
    inv_freq.mul_(0.5)
    assert torch.equal(turns_of(inv_freq), fixed_turns(inv_freq))
    with torch.inference_mode():
        assert torch.equal(turns_of(inv_freq * 2), fixed_turns(inv_freq * 2))


@EACH
def test_a_whole_turn_and_its_quarters(impl):
    """Where the kernel's series change over."""
    inv_freq = torch.full((8,), math.pi / 4, dtype=torch.float64)
    x = real(1, 1, 33, 16)
    found = rotate_heads(x, torch.arange(-16, 17)[None], inv_freq, impl=impl)
    exact = rotate_heads(x.double(), torch.arange(-16, 17)[None], inv_freq, impl="reference")
    torch.testing.assert_close(found.double(), exact, atol=1e-6, rtol=1e-6)
