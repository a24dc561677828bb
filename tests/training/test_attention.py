"""Training attention against PyTorch's own and the reference, forward and backward."""

from types import SimpleNamespace

import pytest
import torch

from memagent.kernels.reference import landmark
from memagent.kernels.rope import rotate
from memagent_bench.training import attention, blocks, grouped


@pytest.fixture(scope="module")
def training() -> SimpleNamespace:
    """The modules by name."""
    return SimpleNamespace(attention=attention, blocks=blocks, grouped=grouped)


def _tensors(time: int) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
    """Queries, keys and values twice, and what comes back to the output."""
    torch.manual_seed(time)
    shapes = [(2, 6, time, 8), (2, 2, time, 8), (2, 2, time, 8)]
    ours = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    theirs = [tensor.detach().clone().requires_grad_() for tensor in ours]
    return ours, theirs, torch.randn(2, time, 6, 8, dtype=torch.float64)


@pytest.mark.parametrize("time", [1, 63, 64, 100, 200])
def test_values_and_gradients_are_those_of_the_fused_attention(training, time: int) -> None:
    ours, theirs, upstream = _tensors(time)
    out, _ = training.attention._attend(None, *ours, None, scaling=8**-0.5)
    expected = torch.nn.functional.scaled_dot_product_attention(
        *theirs, is_causal=True, enable_gqa=True
    ).transpose(1, 2)
    torch.testing.assert_close(out, expected)
    out.backward(upstream)
    expected.backward(upstream)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


@pytest.mark.parametrize("time", [2, 63, 64, 100, 128, 200])
def test_values_and_gradients_are_those_of_the_grouped_softmax(training, time: int) -> None:
    ours, theirs, upstream = _tensors(time)
    out, _ = training.grouped._attend(None, *ours, None, scaling=8**-0.5)
    expected = landmark(*theirs, training.blocks.BLOCK, 8**-0.5).transpose(1, 2)
    torch.testing.assert_close(out, expected)
    out.backward(upstream)
    expected.backward(upstream)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


def test_recalled_blocks_are_those_of_the_grouped_softmax_at_their_places(training) -> None:
    time, block = 230, training.blocks.BLOCK
    ours, theirs, upstream = _tensors(time)
    inv_freq = 100.0 ** -torch.arange(0, 1, 0.25)
    far = -block * torch.randint(2, 7, (2, 4))
    out, _ = training.grouped._attend(
        None, *ours, None, scaling=8**-0.5, far=far, inv_freq=inv_freq
    )
    query, key, value = theirs
    expected = []
    for number in range(4):
        by = far.repeat_interleave(block, 1)[:, :time].clone()
        by[:, max(number - 1, 0) * block : number * block] = -block
        by[:, number * block :] = 0
        placed = rotate(key, by[:, None], inv_freq)
        found = landmark(query, placed, value, block, 8**-0.5)
        expected.append(found[:, :, number * block : (number + 1) * block])
    together = torch.cat(expected, 2).transpose(1, 2)
    torch.testing.assert_close(out, together, atol=1e-5, rtol=0)
    out.backward(upstream)
    together.backward(upstream)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, atol=1e-4, rtol=0)


def test_a_head_reads_as_many_blocks_as_a_stream_does(training) -> None:
    block, read = training.blocks.BLOCK, 6
    (query, key, value), _, _ = _tensors(12 * block)
    token = 11 * block + 20
    out, _ = training.grouped._attend(None, query, key, value, None, scaling=8**-0.5, read=read)
    out[1, token].sum().backward()
    touched = value.grad[1].abs().sum((0, -1)).view(12, block).sum(-1)
    marks = key[1, :, block - 1 : 11 * block : block].repeat_interleave(3, 0)
    logits = (query[1, :, token, None] * marks).sum(-1) * 8**-0.5
    share = logits.softmax(-1).view(2, 3, 11).amax(1).sum(0)
    share = training.grouped.with_neighbours(share, training.grouped.BESIDE)
    best = share[:10].topk(read - 2).indices.tolist()
    assert touched.nonzero().flatten().tolist() == sorted([*best, 10, 11])


@pytest.mark.parametrize("name", ["attention", "grouped"])
def test_a_mask_is_refused(training, name: str) -> None:
    module = getattr(training, name)
    with pytest.raises(ValueError, match="nothing to mask"):
        module._attend(None, *[torch.ones(1, 1, 2, 4)] * 3, torch.ones(2, 2), scaling=1.0)
