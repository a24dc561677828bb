"""What only a GPU shows: bfloat16 matrix products and the compiled kernels themselves."""

import pytest
import torch

from memagent.kernels import landmark_attention, score_pages, select_pages
from tests.kernels.cases import attended, case, in_float64, same

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
OPTIONS = [{}, {"landmark_slot": 63, "softcap": 5.0, "window": 200}]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize(("tokens", "group", "dim"), [(1, 4, 128), (1, 7, 64), (300, 4, 128)])
def test_attention(tokens, group, dim, options, dtype):
    made = case(tokens=tokens, group=group, dim=dim, slots=64, entries=20, dtype=dtype)
    wanted = attended(in_float64(made), impl="torch", **options)
    made = {n: v.cuda() if isinstance(v, torch.Tensor) else v for n, v in made.items()}
    first, second = (attended(made, impl="triton", **options) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    same([t.cpu() for t in first], wanted, dtype)


def test_scores_and_choice():
    random = torch.Generator().manual_seed(0)
    q = torch.randn(2, 8, 1, 128, generator=random).bfloat16()
    low = torch.randn(2, 2, 5000, 128, generator=random).bfloat16()
    wanted = score_pages(q.double(), low=low.double(), high=low.double() + 1, impl="torch")
    found = score_pages(q.cuda(), low=low.cuda(), high=(low.double() + 1).bfloat16().cuda())
    torch.testing.assert_close(found.cpu().double(), wanted.double(), atol=1.0, rtol=0.02)
    for number in (5000, 100_000):
        scores = torch.randn(3, number, generator=random).round(decimals=2)
        assert torch.equal(select_pages(scores.cuda(), 64).cpu(), select_pages(scores, 64))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_landmark_gradients(dtype):
    random = torch.Generator().manual_seed(0)
    shapes = ((2, 8), (2, 2), (2, 2))
    exact = [torch.randn(*s, 333, 128, generator=random).to(dtype).double() for s in shapes]
    got = torch.randn(2, 8, 333, 128, generator=random)

    def gradients(tensors, impl):
        inputs = [t.clone().requires_grad_() for t in tensors]
        out = landmark_attention(*inputs, 50, 0.1, impl=impl)
        return torch.autograd.grad(out, inputs, got.to(out))

    found = gradients([t.to("cuda", dtype) for t in exact], "triton")
    for a, b in zip(found, gradients(exact, "reference"), strict=True):
        assert (a.cpu().double() - b).norm() / b.norm() < 8 * torch.finfo(dtype).eps
