"""The blocked attention of the training against PyTorch's own, forwards and backwards."""

import importlib.util
from pathlib import Path

import pytest
import torch

PATH = Path(__file__).parents[2] / "training" / "attention.py"


@pytest.fixture(scope="module")
def attention():
    """The module, which is in no package."""
    spec = importlib.util.spec_from_file_location("attention", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("time", [1, 63, 64, 100, 200])
def test_values_and_gradients_are_those_of_the_fused_attention(attention, time: int) -> None:
    torch.manual_seed(time)
    shapes = [(2, 6, time, 8), (2, 2, time, 8), (2, 2, time, 8)]
    ours = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    theirs = [tensor.detach().clone().requires_grad_() for tensor in ours]
    upstream = torch.randn(2, time, 6, 8, dtype=torch.float64)

    out, _ = attention._attend(None, *ours, None, scaling=8**-0.5)
    expected = torch.nn.functional.scaled_dot_product_attention(
        *theirs, is_causal=True, enable_gqa=True
    ).transpose(1, 2)
    torch.testing.assert_close(out, expected)
    out.backward(upstream)
    expected.backward(upstream)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


def test_a_mask_is_refused(attention) -> None:
    with pytest.raises(ValueError, match="nothing to mask"):
        attention._attend(None, *[torch.ones(1, 1, 2, 4)] * 3, torch.ones(2, 2), scaling=1.0)
