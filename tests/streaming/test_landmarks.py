"""A stream with landmark tokens computes the grouped softmax that such models are trained with."""

import copy

import pytest
import torch
from transformers import AttentionInterface, AttentionMaskInterface

from memagent.errors import UsageError
from memagent.kernels.reference import landmark
from memagent.streaming.config import StreamConfig
from memagent.streaming.stream import Stream
from tests.streaming.models import make, tokens

BLOCK, MARK = 16, 1


def _grouped(module, query, key, value, attention_mask, scaling, **others):
    out = landmark(query, key, value, BLOCK, scaling)
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register("grouped_softmax_of_the_test", _grouped)
AttentionMaskInterface.register("grouped_softmax_of_the_test", lambda *a, **k: None)


def test_all_blocks_chosen_is_the_grouped_softmax() -> None:
    model = make("llama")
    config = StreamConfig(
        page=BLOCK, sinks=0, window=BLOCK, budget=4096, selector="landmark", landmark=MARK,
        refresh=1,
    )  # fmt: skip
    stream = Stream(copy.deepcopy(model), config, rows=2)
    stream.read(tokens(90, rows=2))
    for place in range(20):
        stream.read(tokens(1, rows=2, seed=50 + place))
    assert (stream.tokens[:, BLOCK - 1 :: BLOCK] == MARK).all()
    assert (stream.tokens == MARK).sum() == 2 * (stream.length // BLOCK)
    model.set_attn_implementation("grouped_softmax_of_the_test")
    with torch.no_grad():
        wanted = model(stream.tokens).logits[:, -1]
    torch.testing.assert_close(stream.logits, wanted, atol=1e-4, rtol=0)
    assert stream.surprise[:, BLOCK - 1 :: BLOCK].isnan().all()


def test_few_blocks_are_read_when_few_are_allowed() -> None:
    config = StreamConfig(
        page=BLOCK, sinks=0, window=BLOCK, budget=2 * BLOCK, selector="landmark", landmark=MARK
    )
    stream = Stream(make("llama"), config)
    stream.read(tokens(200))
    for chosen in stream.view.chosen.values():
        assert chosen.page.shape == (1, 2, 2)  # each kv head has two blocks of its own


def test_a_landmark_model_has_no_sinks() -> None:
    with pytest.raises(UsageError, match="sinks"):
        StreamConfig(selector="landmark", landmark=MARK)
    with pytest.raises(UsageError, match="landmark"):
        StreamConfig(selector="landmark", sinks=0)
