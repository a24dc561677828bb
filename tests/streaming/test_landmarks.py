"""A stream with landmark tokens computes the grouped softmax that such models are trained with."""

import copy

import pytest
import torch
from transformers import AttentionInterface, AttentionMaskInterface

from memagent.errors import UsageError
from memagent.kernels.reference import landmark
from memagent.streaming.config import Segmentation, StreamConfig
from memagent.streaming.selectors.landmark import with_neighbours
from memagent.streaming.stream import Stream
from tests.streaming.models import make, tokens

BLOCK, MARK = 16, 1


def _grouped(module, query, key, value, attention_mask, scaling, **others):
    out = landmark(query, key, value, BLOCK, scaling)
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register("grouped_softmax_of_the_test", _grouped)
AttentionMaskInterface.register("grouped_softmax_of_the_test", lambda *a, **k: None)


@pytest.mark.parametrize("refresh", [1, 32])
def test_all_blocks_chosen_is_the_grouped_softmax(refresh: int) -> None:
    model = make("llama")
    config = StreamConfig(
        page=BLOCK, sinks=0, window=BLOCK, budget=4096, selector="landmark", landmark=MARK,
        refresh=refresh,
    )  # fmt: skip
    stream = Stream(copy.deepcopy(model), config, rows=2)
    stream.read(tokens(90, rows=2))
    found = []
    for place in range(20):
        stream.read(tokens(1, rows=2, seed=50 + place))
        closed = int(stream.tokens[0, -1] == MARK)
        found.append((stream.length - 1 - closed, stream.logits))
    assert (stream.tokens[:, BLOCK - 1 :: BLOCK] == MARK).all()
    assert (stream.tokens == MARK).sum() == 2 * (stream.length // BLOCK)
    model.set_attn_implementation("grouped_softmax_of_the_test")
    with torch.no_grad():
        wanted = model(stream.tokens).logits
    # A block that was closed is seen by its landmark at once, however old the selection is.
    for place, logits in found:
        torch.testing.assert_close(logits, wanted[:, place], atol=1e-4, rtol=0)
    assert stream.surprise[:, BLOCK - 1 :: BLOCK].isnan().all()


def test_few_blocks_are_read_when_few_are_allowed() -> None:
    config = StreamConfig(
        page=BLOCK, sinks=0, window=BLOCK, budget=2 * BLOCK, selector="landmark", landmark=MARK
    )
    stream = Stream(make("llama"), config)
    stream.read(tokens(200))
    for chosen in stream.view.chosen.values():
        assert chosen.page.shape == (1, 1, 2)  # the kv heads read the same two blocks


def test_blocks_are_kept_when_an_event_begins() -> None:
    config = StreamConfig(
        page=BLOCK, sinks=0, window=BLOCK, budget=2 * BLOCK, selector="landmark", landmark=MARK,
        segmentation=Segmentation(least=1, most=2),
    )  # fmt: skip
    stream = Stream(make("llama"), config)
    stream.read(tokens(152))
    kept = dict(stream.view.chosen)
    while stream.length % BLOCK < BLOCK - 2:
        stream.read(tokens(1, seed=stream.length))
        assert all(stream.view.chosen[layer] is chosen for layer, chosen in kept.items())


@pytest.mark.parametrize(
    ("blocks", "window", "recent"), [(4, 20, 2), (4, 1, 1), (2, 99, 1), (1, 99, 0)]
)
def test_the_block_before_and_those_in_the_window_are_chosen(
    blocks: int, window: int, recent: int
) -> None:
    config = StreamConfig(
        page=BLOCK, sinks=0, window=window, budget=blocks * BLOCK, selector="landmark",
        landmark=MARK,
    )  # fmt: skip
    stream = Stream(make("llama"), config)
    stream.read(tokens(200))
    assert stream.length % BLOCK < 10
    last = stream.length // BLOCK - 1
    for chosen in stream.view.chosen.values():
        assert chosen.page.shape == (1, 1, blocks)
        found = chosen.page[0, 0].tolist()
        assert found[blocks - recent :] == list(range(last - recent + 1, last + 1))


def test_a_neighbour_of_a_good_block_scores_nearly_as_high() -> None:
    scores = torch.tensor([[0.1, 0.0, 0.8, 0.5, 0.0]])
    wanted = torch.tensor([[0.1, 0.76, 0.8, 0.76, 0.475]])
    torch.testing.assert_close(with_neighbours(scores), wanted)


def test_a_page_recomputed_from_its_text_has_the_same_keys_and_values() -> None:
    config = StreamConfig(
        page=BLOCK, sinks=0, window=BLOCK, budget=4096, selector="landmark", landmark=MARK
    )
    stream = Stream(make("llama"), config, rows=2)
    stream.read(tokens(90, rows=2))
    for page in (0, 3):
        for cache, block in zip(stream.layers.caches, stream._encode(1, page), strict=True):
            where = int(cache.resolve(torch.tensor([[[page]], [[page]]]))[1])
            kept = torch.stack((cache.k[where], cache.v[where]))
            torch.testing.assert_close(block, kept, atol=1e-5, rtol=0)


def test_a_landmark_model_has_no_sinks() -> None:
    with pytest.raises(UsageError, match="sinks"):
        StreamConfig(selector="landmark", landmark=MARK)
    with pytest.raises(UsageError, match="landmark"):
        StreamConfig(selector="landmark", sinks=0)
