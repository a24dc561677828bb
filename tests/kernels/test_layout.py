"""Invalid arguments raise a one-line error before anything runs, with no silent fallback."""

import os
import subprocess
import sys

import pytest
import torch

from memagent.kernels import (
    api,
    landmark_attention,
    merge_states,
    rotate_heads,
    score_pages,
    select_pages,
    summarize_pages,
)
from memagent.kernels.layout import LayoutError
from tests.kernels.cases import RUNS, attended, case


def changed(**changes):
    """A case in which some arguments are made wrong."""
    made = case(batch=1)
    return {**made, **{name: change(made.get(name)) for name, change in changes.items()}}


WRONG = {
    "q must be [B, Hq, T, D]": {"q": lambda q: q[0]},
    "k_pages must be [N, Hkv, P, D]": {"k_pages": lambda k: k[0]},
    "v_pages is torch.float16, q torch.float32": {"v_pages": lambda v: v.half()},
    "v_pages is (9, 2, 8, 32)": {"v_pages": lambda v: v[:, :, :8]},
    "q must be floating": {"q": lambda q: q.int()},
    "the heads of q have 16 numbers": {"q": lambda q: q[..., :16]},
    "7 query heads cannot share 2 kv heads evenly": {"q": lambda q: q[:, :7]},
    "q_pos must be (1, 1)": {"q_pos": lambda p: p[:, :0]},
    "q_pos must hold int32 or int64": {"q_pos": lambda p: p.float()},
    "pages must be [1, 1 or 2, M]": {"pages": lambda p: p.expand(3, 2, 6)},
    "page_lo must have the shape of pages": {"page_lo": lambda p: p[..., :2]},
    "page_hi must hold int32 or int64": {"page_hi": lambda p: p.short()},
    "page_pos is on meta": {"page_pos": lambda p: p.to("meta")},
    "k_pages is on meta": {"k_pages": lambda k: k.to("meta")},
    "group_bias must be [1, 2, G]": {"group_bias": lambda b: b[0]},
    "group_bias must be floating": {"group_bias": lambda b: b.nan_to_num().int()},
    "inv_freq must hold 16 frequencies": {"inv_freq": lambda f: f[:3]},
    "inv_freq is on meta": {"inv_freq": lambda f: f.to("meta")},
    "landmark_slot must be within a page of 16 slots": {"landmark_slot": lambda _: 16},
    "window must be positive": {"window": lambda _: 0},
    "no implementation 'cuda'": {"impl": lambda _: "cuda"},
}


def refused(call, message):
    """The call raises LayoutError with one line that says this."""
    with pytest.raises(LayoutError) as caught:
        call()
    text = str(caught.value)
    assert message in text
    assert "\n" not in text


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("message", WRONG)
def test_attention_refuses(message, run):
    arguments = {**RUNS[run], **changed(**WRONG[message])}
    refused(lambda: attended(arguments), message)


def test_odd_heads_are_refused():
    made = case(batch=1)
    for name in ("q", "k_pages", "v_pages"):
        made[name] = made[name][..., :31]
    refused(lambda: attended(made), "the head size must be even, not 31")


@pytest.mark.parametrize("impl", ["torch", "triton", "reference"])
def test_the_other_operations_refuse(impl):
    q, keys = torch.ones(1, 4, 1, 8), torch.ones(1, 2, 3, 8)
    whole, inv_freq = torch.zeros(1, 1, dtype=torch.int64), torch.ones(4)
    calls = {
        "[n] each": lambda: summarize_pages(keys, whole, whole[0], whole[0], impl=impl),
        "either mean, or low and high": lambda: score_pages(q, low=keys, impl=impl),
        "mean must be [B, Hkv, N, D]": lambda: score_pages(q, keys[..., :4], impl=impl),
        "reduce must be max, mean or none": lambda: score_pages(q, keys, reduce="sum", impl=impl),
        "k must be at least 1": lambda: select_pages(torch.ones(3), 0, impl=impl),
        "lses must be (1, 4, 1)": lambda: merge_states(q, torch.ones(3), impl=impl),
        "query heads must be a multiple": lambda: landmark_attention(
            q[:, :3], q[:, :2], q[:, :2], 4, 1.0, impl=impl
        ),
        "at least one token and its landmark": lambda: landmark_attention(
            q, q, q, 1, 1.0, impl=impl
        ),
        "x must be [B, H, T, D]": lambda: rotate_heads(q[0], whole, inv_freq, impl=impl),
        "position must be (1, 1)": lambda: rotate_heads(q, whole[0], inv_freq, impl=impl),
        "position must hold int32": lambda: rotate_heads(q, whole.float(), inv_freq, impl=impl),
        "must hold 4 frequencies": lambda: rotate_heads(q, whole, inv_freq[:3], impl=impl),
        "position is on meta": lambda: rotate_heads(q, whole.to("meta"), inv_freq, impl=impl),
    }
    for message, call in calls.items():
        refused(call, message)


def test_triton_refuses_float64():
    refused(lambda: select_pages(torch.ones(3).double(), 1, impl="triton"), "use impl='torch'")


def test_triton_asked_for_and_not_installed(monkeypatch):
    monkeypatch.setattr(api, "find_spec", lambda name: None)
    refused(lambda: select_pages(torch.ones(3), 1, impl="triton"), "install memagent[gpu]")


def test_triton_on_a_cpu_without_the_interpreter():
    program = (
        "import torch\n"
        "from memagent.kernels import select_pages\n"
        "print(select_pages(torch.ones(3), 1).tolist())\n"
        "select_pages(torch.ones(3), 1, impl='triton')\n"
    )
    env = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    result = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
    )
    assert result.stdout == "[0]\n"
    assert "LayoutError: impl='triton' runs on a GPU, the tensors are on cpu" in result.stderr
    assert "TRITON_INTERPRET=1" in result.stderr
