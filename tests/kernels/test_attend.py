"""Attention over pages: the definition, the reference and every implementation agree."""

import pytest
import torch

from tests.kernels import definition
from tests.kernels.cases import RUNS, attended, case, in_float64, same

EVERYTHING = {"landmark_slot": 15, "softcap": 3.0, "window": 40}
CASES = {
    "a decoded token": ({"group": 1, "dim": 16}, {}),
    "a group of four": ({"group": 4, "tokens": 3}, {}),
    "a group of seven, pages of 64": ({"group": 7, "slots": 64, "dim": 64, "batch": 1}, {}),
    "a group of eight in a prompt": (
        {"group": 8, "tokens": 17, "batch": 1, "kv_heads": 1, "entries": 4},
        {},
    ),
    "an empty list in a prompt": (
        {"group": 8, "tokens": 17, "batch": 1, "kv_heads": 1, "entries": 0},
        {},
    ),
    "one list for all heads": ({"shared": True, "tokens": 3}, {}),
    "heads of 80": ({"dim": 80, "tokens": 3, "batch": 1}, {}),
    "heads of 96": ({"dim": 96, "batch": 1, "group": 1}, {}),
    "heads of 112": ({"dim": 112, "batch": 1}, {}),
    "heads of 128, pages of 64": ({"dim": 128, "slots": 64, "batch": 1, "kv_heads": 1}, {}),
    "heads of 256": ({"dim": 256, "batch": 1, "kv_heads": 1}, {}),
    "pages of 20": ({"slots": 20, "tokens": 3}, {}),
    "softcap": ({"tokens": 3}, {"softcap": 2.0}),
    "window": ({"tokens": 17, "batch": 1, "group": 1, "entries": 14}, {"window": 20}),
    "landmark": ({"tokens": 3, "groups": 4}, {"landmark_slot": 5}),
    "everything": ({"tokens": 3, "shared": True, "group": 2}, EVERYTHING),
    "everything, one token": ({"group": 7, "dim": 64}, EVERYTHING),
    "long ago": ({"base": 10_000_000, "tokens": 3}, {"window": 50}),
    "no entries": ({"entries": 0, "tokens": 3}, {}),
}
ALL = pytest.mark.parametrize("name", CASES)
EACH = pytest.mark.parametrize("run", RUNS)


@ALL
def test_the_reference_is_the_definition(name):
    shape, options = CASES[name]
    made = in_float64(case(**shape))
    found = attended(made, impl="reference", **options)
    for a, b in zip(found, definition.attention(made, **options), strict=True):
        torch.testing.assert_close(a, b, atol=1e-7, rtol=1e-7)


@EACH
@ALL
def test_implementations_agree_with_the_reference(name, run):
    shape, options = CASES[name]
    made = case(seed=1, **shape)
    found = attended(made, **options, **RUNS[run])
    wanted = attended(in_float64(made), impl="reference", **options)
    assert found.out.dtype == torch.float32
    assert found.lse.dtype == found.group_mass.dtype == torch.float32
    same(found, wanted, torch.float32)


@EACH
@pytest.mark.parametrize("name", ["a group of four", "everything", "long ago"])
def test_half_precision(name, run):
    shape, options = CASES[name]
    made = case(seed=2, dtype=torch.float16, **shape)
    found = attended(made, **options, **RUNS[run])
    assert found.out.dtype == torch.float16
    same(found, attended(in_float64(made), impl="reference", **options), torch.float16)


@EACH
def test_ten_million_tokens_apart(run):
    """The query stands ten million tokens after the page; float32 angles would be useless."""
    made = case(tokens=3, base=0)
    made["q_pos"] += 10_000_000
    made["page_pos"] = made["page_pos"].to(torch.int64)
    found = attended(made, **RUNS[run])
    wanted = definition.attention(made)
    assert wanted[1][0].isfinite().all()
    same(found, wanted, torch.float32)


@EACH
def test_positions_beyond_32_bits(run):
    made = case(tokens=3, batch=1)
    made["page_pos"] = made["page_pos"].to(torch.int64)
    near = attended(made, **RUNS[run], window=30)
    for name in ("q_pos", "page_pos"):
        made[name] = made[name] + 2**40
    same(attended(made, **RUNS[run], window=30), near, torch.float32)


@EACH
def test_nothing_to_see_is_zero_never_nan(run):
    made = case(tokens=3)
    made["pages"][0] = -1
    made["page_pos"][1] = 1_000_000
    made["group_bias"][:] = float("-inf")
    out, lse, mass = attended(made, **RUNS[run])
    assert (out == 0).all()
    assert lse.isneginf().all()
    assert (mass == 0).all()


@EACH
def test_slots_outside_the_stretch_may_hold_anything(run):
    made = case(batch=1, shared=True, entries=4, tokens=3)
    made["pages"][0, 0] = torch.tensor([3, 1, -1, 2])
    wanted = attended(made, **RUNS[run])
    slot = torch.arange(16)
    for page, lo, hi in zip(*(made[n][0, 0] for n in ("pages", "page_lo", "page_hi")), strict=True):
        outside = (slot < lo) | (slot >= hi)
        for pages in (made["k_pages"], made["v_pages"]):
            pages[page, :, outside if page >= 0 else slot] = float("nan")
    made["k_pages"][0] = made["v_pages"][0] = float("nan")
    same(attended(made, **RUNS[run]), wanted, torch.float32)


@EACH
@pytest.mark.parametrize("name", ["a decoded token", "everything", "no entries"])
def test_every_number_of_the_result_is_written(name, run, monkeypatch):
    shape, options = CASES[name]
    made = case(**shape)
    wanted = attended(made, **options, **RUNS[run])
    empty = torch.empty

    def poisoned(*args, **kwargs):
        tensor = empty(*args, **kwargs)
        return tensor.fill_(float("nan")) if tensor.is_floating_point() else tensor

    monkeypatch.setattr(torch, "empty", poisoned)
    found = attended(made, **options, **RUNS[run])
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


@EACH
def test_repeated_runs_are_equal_to_the_last_bit(run):
    made = case(tokens=3, group=7, batch=1, kv_heads=1)
    first, second = (attended(made, **EVERYTHING, **RUNS[run]) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@EACH
def test_strides_need_not_be_those_of_a_new_tensor(run):
    made = case(tokens=3, shared=True, batch=1)
    wanted = attended(made, **RUNS[run])
    made["q"] = made["q"].transpose(1, 2).contiguous().transpose(1, 2)
    for name in ("k_pages", "v_pages"):
        pages = made[name]
        made[name] = torch.stack((pages, pages + 1), dim=1)[:, 0].transpose(1, 2).contiguous()
        made[name] = made[name].transpose(1, 2)
    made["page_group"] = made["page_group"].repeat_interleave(2, dim=2)[:, :, ::2]
    same(attended(made, **RUNS[run]), wanted, torch.float32)


@EACH
def test_mass_is_computed_only_on_request(run):
    made = case()
    found = attended(made, mass=False, **RUNS[run])
    assert found.group_mass is None
    assert torch.equal(found.out, attended(made, **RUNS[run]).out)
