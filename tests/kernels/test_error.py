"""Against float64: no less exact than eager attention at the same dtype, but for rounding once."""

import pytest
import torch

from memagent.kernels import merge_states
from memagent.kernels.rope import cos_sin, turn
from tests.kernels import definition
from tests.kernels.cases import RUNS, attended, case, in_float64, ordered, same

EACH = pytest.mark.parametrize("run", RUNS)


def text(dtype=torch.float32, **shape):
    """A case in order, and its keys as one piece of text at their true places."""
    made = ordered(case(batch=1, kv_heads=2, dtype=dtype, **shape))
    keys = made["k_pages"].transpose(0, 1).flatten(1, 2)[None]
    values = made["v_pages"].transpose(0, 1).flatten(1, 2)[None]
    return made, keys, values


def eager(made, keys, values, dtype):
    """Attention as a model does it: rotated, multiplied and summed in its dtype."""
    number, _, slots, _ = made["k_pages"].shape
    heads, tokens = made["q"].shape[1:3]
    start = torch.arange(number).repeat_interleave(slots) * slots
    key = turn(keys.to(dtype), *cos_sin(start, made["inv_freq"], dtype))
    query = turn(made["q"].to(dtype), *cos_sin(made["q_pos"][0], made["inv_freq"], dtype))
    key, value = (x.repeat_interleave(heads // 2, 1) for x in (key, values.to(dtype)))
    logits = (query @ key.mT * made["scale"]).masked_fill(
        torch.arange(number * slots) > made["q_pos"][0, :tokens, None], float("-inf")
    )
    kind = torch.float64 if dtype == torch.float64 else torch.float32
    return torch.softmax(logits, -1, dtype=kind).to(dtype) @ value


@EACH
@pytest.mark.parametrize("tokens", [1, 17])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_error_within_that_of_eager_and_a_rounding(dtype, tokens, run):
    made, keys, values = text(dtype, tokens=tokens, entries=5, group=2, dim=64)
    exact = eager(made, keys, values, torch.float64)
    theirs = (eager(made, keys, values, dtype).double() - exact).abs().max()
    ours = (attended(made, **RUNS[run]).out.double() - exact).abs().max()
    # One unit in the last place of the largest value: weights and output are rounded once each.
    budget = torch.finfo(dtype).eps * values.double().abs().max()
    assert ours <= theirs + budget


@EACH
def test_every_page_and_no_bias_is_ordinary_attention(run):
    made, keys, values = text(tokens=5)
    start = torch.arange(keys.shape[2]) // 16 * 16
    key = turn(keys, *cos_sin(start, made["inv_freq"], torch.float32))
    query = turn(made["q"], *cos_sin(made["q_pos"][0], made["inv_freq"], torch.float32))
    mask = torch.arange(keys.shape[2]) <= made["q_pos"][0, :, None]
    wanted = torch.nn.functional.scaled_dot_product_attention(
        query, key, values, mask, enable_gqa=True
    )
    found = attended(made, **RUNS[run])
    torch.testing.assert_close(found.out, wanted, atol=2e-5, rtol=2e-5)
    torch.testing.assert_close(found.group_mass.sum(-1), torch.ones(1, 8))


@EACH
def test_a_group_with_bias_minus_infinity_is_as_if_removed(run):
    made = ordered(case(tokens=3, batch=1))
    made["group_bias"][:, :, 1] = float("-inf")
    forbidden = attended(made, **RUNS[run])
    assert (forbidden.group_mass[..., 1] == 0).all()
    torch.testing.assert_close(forbidden.group_mass.sum(-1), torch.ones(1, 8))
    made["group_bias"][:] = 0
    made["pages"] = made["pages"].masked_fill(made["page_group"] == 1, -1)
    same(attended(made, **RUNS[run]), forbidden, torch.float32)


@EACH
def test_bias_is_a_prior(run):
    """Adding log 2 to a group doubles its weight against the others."""
    made = ordered(case(batch=1, group=2))
    before = attended(made, **RUNS[run]).group_mass
    made["group_bias"][:, :, 2] = torch.log(torch.tensor(2.0))
    after = attended(made, **RUNS[run]).group_mass
    ratio = after[..., 2] / after[..., 0] / (before[..., 2] / before[..., 0])
    torch.testing.assert_close(ratio, torch.full_like(ratio, 2.0), atol=1e-4, rtol=1e-4)


@EACH
def test_merged_parts_are_the_whole(run):
    made = case(tokens=3, batch=1, group=2)
    names = ("pages", "page_pos", "page_lo", "page_hi", "page_group")
    parts = []
    for cut in (slice(0, 1), slice(1, 4), slice(4, None)):
        parts.append(attended({**made, **{n: made[n][:, :, cut] for n in names}}, **RUNS[run]))
    outs, lses = (torch.stack([part[i] for part in parts]) for i in range(2))
    whole = attended(made, **RUNS[run])
    same(
        (*merge_states(outs, lses, impl=RUNS[run]["impl"]), None), (*whole[:2], None), torch.float32
    )


@EACH
def test_more_groups_than_a_tile_holds(run):
    made = case(batch=1, kv_heads=1, entries=70, groups=70, group=2)
    made["page_group"] = torch.arange(70, dtype=torch.int32)[None, None]
    same(attended(made, **RUNS[run]), definition.attention(in_float64(made)), torch.float32)
