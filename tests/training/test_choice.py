"""The landmark selection loss: its targets, its negatives, its state."""

import math
from types import SimpleNamespace

import pytest
import torch

BLOCKS, HEADS, KV, DIM = 6, 4, 2, 8
SLOT = 5 * 64 + 10


@pytest.fixture
def chooser(training: SimpleNamespace):
    """One of layer 1 that keeps eight blocks."""
    return training.choice.Chooser(training.settings.Choice(layer=1, weight=0.1, blocks=8))


def _wanted(first: int, last: int, slot: int = SLOT) -> torch.Tensor:
    wanted = torch.full((1, BLOCKS * 64, 2), -1)
    wanted[0, slot] = torch.tensor([first, last])
    return wanted


def _keys(seed: int = 0) -> torch.Tensor:
    """Landmarks of unit length at right angles to one another, in random text."""
    keys = torch.randn(1, KV, BLOCKS * 64, DIM, generator=torch.Generator().manual_seed(seed))
    keys[:, :, 63::64] = torch.eye(DIM)[:BLOCKS]
    return keys


def _query(block: int, by: float, heads: slice = slice(None)) -> torch.Tensor:
    query = torch.zeros(1, HEADS, BLOCKS * 64, DIM)
    query[0, heads, SLOT, block] = by
    return query


def test_one_head_that_finds_the_block_is_enough(chooser) -> None:
    chooser.ask(_wanted(2, 2))
    chooser.weigh(_query(2, 20.0, slice(3, 4)), _keys())
    assert chooser.take() < 1e-3
    assert chooser.take() is None


def test_a_query_without_a_target_costs_the_logarithm_of_the_blocks(chooser) -> None:
    # Four blocks can be recalled at the sixth: not its own, nor the one before.
    chooser.ask(_wanted(2, 2))
    chooser.weigh(_query(0, 0.0), _keys())
    assert chooser.take() == pytest.approx(math.log(4), abs=1e-5)
    # The landmarks of that batch but the one that held the key compete in the next.
    chooser.ask(_wanted(2, 2))
    chooser.weigh(_query(0, 0.0), _keys())
    assert chooser.take() == pytest.approx(math.log(4 + 5), abs=1e-5)


def test_either_block_of_a_key_cut_in_two_will_do(chooser) -> None:
    chooser.ask(_wanted(2, 3))
    chooser.weigh(_query(3, 20.0), _keys())
    assert chooser.take() < 1e-3


@pytest.mark.parametrize("last", [4, 5])
def test_a_block_that_is_read_anyway_need_not_be_found(chooser, last: int) -> None:
    chooser.ask(_wanted(last, last))
    chooser.weigh(_query(0, 0.0), _keys())
    assert chooser.take() is None


def test_the_queue_is_bounded_and_holds_no_key(chooser) -> None:
    for _ in range(3):
        chooser.ask(_wanted(1, 2))
        chooser.weigh(_query(0, 0.0), _keys())
    assert chooser.others.shape == (KV, 8, DIM)
    assert (chooser.others[..., [1, 2]] == 0).all()


def test_query_and_landmark_are_drawn_together(chooser) -> None:
    query, keys = _query(0, 0.1).requires_grad_(), _keys().requires_grad_()
    chooser.ask(_wanted(2, 2))
    chooser.weigh(query, keys)
    chooser.take().backward()
    assert query.grad[0, :, SLOT, 2].min() < 0
    moved = keys.grad[0, :, 2 * 64 + 63].norm()
    assert moved > 0
    assert (keys.grad[0, :, torch.arange(BLOCKS * 64) % 64 != 63] == 0).all()


def test_what_a_batch_asks_for_holds_the_name_and_the_key(training: SimpleNamespace) -> None:
    from tokenizers import Tokenizer

    from memagent.models.bundled import pocket_lm

    tokenizer = Tokenizer.from_file(str(pocket_lm() / "tokenizer.json"))
    tokenizer.add_special_tokens([training.data.LANDMARK])
    corpus = torch.full((20_000,), tokenizer.encode("x").ids[0]).numpy()
    sampler = training.sequences.Sampler(corpus, tokenizer, seed=5, answer_weight=4.0)
    phase = training.settings.Phase(
        until=1.0, context=512, repeat=0, random=0, passkey=1.0, pairs=0, landmark=1.0, keys=8,
        tail=200, far=4, cut=0.5,
    )  # fmt: skip
    asked = 0
    for step in range(4):
        (batch,) = sampler.batches(step, 4096, phase)
        for ids, weights, wanted in zip(batch.ids, batch.weights, batch.wanted, strict=True):
            for slot in (wanted[:, 0] >= 0).nonzero()[0]:
                first, last = wanted[slot]
                assert 0 <= last - first <= 1
                assert last <= slot // 64
                if wanted[slot - 1, 0] < 0 and weights[slot] == 1:
                    asked += 1
                    answer = slot + (weights[slot:] > 1).argmax()
                    key = tokenizer.decode(ids[answer : answer + 9].tolist()).split(".")[0]
                    block = ids[first * 64 : (last + 1) * 64]
                    assert key.strip() in tokenizer.decode(
                        block[block != sampler.landmark].tolist()
                    )
    assert asked > 20
