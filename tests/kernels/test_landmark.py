"""Landmark attention: forward against the definition, gradients against float64 autograd."""

import pytest
import torch

from memagent.kernels import landmark_attention
from tests.kernels import definition
from tests.kernels.cases import OPERATIONS

EACH = pytest.mark.parametrize("impl", OPERATIONS)
# batch, kv heads, queries a kv head, tokens, head size, block
CASES = {
    "blocks of 32": (1, 2, 2, 70, 16, 32),
    "blocks of 64": (1, 1, 4, 130, 32, 64),
    "blocks of 50": (2, 1, 3, 101, 24, 50),
    "blocks of 2": (1, 1, 1, 9, 16, 2),
    "one short block": (1, 2, 1, 5, 80, 16),
    "whole blocks": (1, 1, 7, 48, 16, 16),
}
ALL = pytest.mark.parametrize("name", CASES)


def made(name, dtype=torch.float32):
    batch, kv_heads, group, tokens, dim, block = CASES[name]
    random = torch.Generator().manual_seed(0)
    shapes = [kv_heads * group, kv_heads, kv_heads]
    q, k, v = (torch.randn(batch, h, tokens, dim, generator=random).to(dtype) for h in shapes)
    return (q, k, v), block, 1.5 * dim**-0.5


def with_gradients(tensors, block, scale, impl):
    """The output and the gradients of a weighted sum of it."""
    inputs = [t.clone().requires_grad_() for t in tensors]
    out = landmark_attention(*inputs, block, scale, impl=impl)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out.dtype)
    return out.detach(), torch.autograd.grad(out, inputs, weight)


@ALL
def test_the_reference_is_the_definition(name):
    tensors, block, scale = made(name, torch.float64)
    found = landmark_attention(*tensors, block, scale, impl="reference")
    torch.testing.assert_close(found, definition.landmark(*tensors, block, scale))


@EACH
@ALL
def test_forward_and_gradients(name, impl):
    tensors, block, scale = made(name)
    out, gradients = with_gradients(tensors, block, scale, impl)
    exact = [t.double() for t in tensors]
    wanted, wanted_gradients = with_gradients(exact, block, scale, "reference")
    torch.testing.assert_close(out.double(), wanted, atol=5e-6, rtol=5e-6)
    for found, true, where in zip(gradients, wanted_gradients, "qkv", strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(
            found.double(), true, atol=2e-5, rtol=2e-5, msg=lambda m, w=where: f"d{w}: {m}"
        )


@EACH
def test_half_precision(impl):
    tensors, block, scale = made("blocks of 50", torch.float16)
    out, gradients = with_gradients(tensors, block, scale, impl)
    exact = [t.double() for t in tensors]
    wanted, wanted_gradients = with_gradients(exact, block, scale, "reference")
    assert out.dtype == torch.float16
    torch.testing.assert_close(out.double(), wanted, atol=4e-3, rtol=4e-3)
    for found, true in zip(gradients, wanted_gradients, strict=True):
        error = (found.double() - true).norm() / true.norm()
        assert error < 4 * torch.finfo(torch.float16).eps


@EACH
def test_gradients_repeat_to_the_last_bit(impl):
    tensors, block, scale = made("blocks of 32")
    first, second = (with_gradients(tensors, block, scale, impl) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first[1], second[1], strict=True))


@EACH
def test_every_number_is_written(impl, monkeypatch):
    tensors, block, scale = made("one short block")
    wanted = with_gradients(tensors, block, scale, impl)
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *a, **k: empty(*a, **k).fill_(float("nan")))
    found = with_gradients(tensors, block, scale, impl)
    assert torch.equal(found[0], wanted[0])
    assert all(torch.equal(a, b) for a, b in zip(found[1], wanted[1], strict=True))


@EACH
def test_numerical_gradient(impl):
    """One direction, by differences of the float32 output in float64 steps of the reference."""
    tensors, block, scale = made("blocks of 2")
    _, gradients = with_gradients(tensors, block, scale, impl)
    weight = torch.randn(tensors[0].shape, generator=torch.Generator().manual_seed(1)).double()
    random = torch.Generator().manual_seed(2)
    for i in range(3):
        way = torch.randn(tensors[i].shape, generator=random).double()
        ends = []
        for step in (1e-5, -1e-5):
            moved = [t.double() for t in tensors]
            moved[i] = moved[i] + step * way
            ends.append((definition.landmark(*moved, block, scale) * weight).sum())
        slope = (ends[0] - ends[1]) / 2e-5
        torch.testing.assert_close((gradients[i].double() * way).sum(), slope, atol=1e-4, rtol=1e-4)
