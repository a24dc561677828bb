"""Generating from a stream, and how an answer distributed its attention over tokens."""

import copy
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from transformers import PreTrainedModel
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from memagent.streaming.config import Segmentation, StreamConfig
from memagent.streaming.generate import generate
from memagent.streaming.page_ranges import PageRanges
from memagent.streaming.selectors.base import Far, Selector
from memagent.streaming.selectors.table import SELECTORS
from memagent.streaming.stream import Stream
from tests.streaming.models import make, tokens

WHOLE = StreamConfig(page=16, window=None, chunk=37, selector="recent")
SMALL = {"page": 16, "window": 24, "chunk": 20, "budget": 64, "refresh": 4}
FAR = sorted(SELECTORS.keys() - {"landmark", "recent"})


@pytest.mark.parametrize("name", ["llama", "gemma2", "mistral sliding"])
def test_the_likeliest_tokens_are_those_of_the_stock_model(name: str) -> None:
    model, prompt = make(name), tokens(70)
    with torch.no_grad():
        wanted = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=30,
            eos_token_id=None,
        )  # fmt: skip
    stream = Stream(copy.deepcopy(model), WHOLE)
    stream.read(prompt)
    assert list(generate(stream, 30)) == wanted[0, 70:].tolist()
    assert stream.tokens.tolist() == wanted.tolist()


def test_a_seed_makes_sampling_repeatable() -> None:
    model = make()
    said = []
    for seed in (5, 5, 6):
        stream = Stream(model, WHOLE)
        stream.read(tokens(40))
        said.append(list(generate(stream, 25, temperature=1.5, seed=seed)))
    assert said[0] == said[1] != said[2]


def test_tokens_are_drawn_by_their_probability() -> None:
    stream = Stream(make(), WHOLE)
    stream.read(tokens(40))
    mark = stream.mark()
    assert stream.logits is not None
    share = (stream.logits[0] / 0.7).softmax(-1)
    count = torch.zeros_like(share)
    for seed in range(200):
        count[next(generate(stream, 1, temperature=0.7, seed=seed))] += 1
        assert stream.length == mark.length  # a token that was only looked at is not read
    best = int(share.argmax())
    spread = float((share[best] * (1 - share[best]) / 200).sqrt())
    assert abs(float(count[best] / 200 - share[best])) < 5 * spread


def test_generation_ends_before_a_stop_token() -> None:
    stream = Stream(make(), WHOLE)
    stream.read(tokens(40))
    mark = stream.mark()
    said = list(generate(stream, 12))
    assert len(said) == 12
    stop = said[7]
    stream.rewind(mark)
    until = said.index(stop)
    assert list(generate(stream, 12, stop=frozenset({stop, 1}))) == said[:until]
    assert stream.length == 40 + until
    assert list(generate(stream, 0)) == []


def test_generation_needs_something_read_in_one_row() -> None:
    model = make()
    with pytest.raises(ValueError, match="has read at least one token"):
        next(generate(Stream(model, WHOLE), 5))
    rows = Stream(model, WHOLE, rows=2)
    rows.read(tokens(5, rows=2))
    with pytest.raises(ValueError, match="one row"):
        next(generate(rows, 5))


@pytest.mark.parametrize("selector", FAR)
def test_rows_of_a_batch_give_the_same_as_alone(selector: str) -> None:
    model, read = make(), tokens(130, rows=2)
    config = StreamConfig(**SMALL, selector=selector)
    both = Stream(model, config, rows=2)
    alone = [Stream(model, config) for _ in range(2)]
    # A boundary in one row makes all rows select again: with one token a step and refresh 1, the
    # rows alone choose at every step too.
    for part in (read[:, :110], *read[:, 110:].split(1, dim=1)):
        for stream in (both, *alone):
            stream.view.renew()
        both.read(part)
        for row, stream in enumerate(alone):
            stream.read(part[row : row + 1])
    for row, stream in enumerate(alone):
        torch.testing.assert_close(both.logits[row], stream.logits[0], atol=1e-4, rtol=0)
        torch.testing.assert_close(
            both.surprise[row], stream.surprise[0], atol=1e-4, rtol=0, equal_nan=True
        )
        assert both.events[row].all(130) == stream.events[0].all(130)


@dataclass(frozen=True)
class Listening(Selector):
    """Chooses nothing, and keeps the queries that it was asked to choose for."""

    def choose(self, far: Far, q: torch.Tensor, carry: PageRanges | None) -> PageRanges:
        HEARD.append(q)
        return PageRanges.empty(q.shape[0], q.device)


HEARD: list[torch.Tensor] = []


def test_a_choice_is_for_the_queries_of_the_last_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SELECTORS, "mean", Listening)
    HEARD.clear()
    config = StreamConfig(**SMALL, selector="mean")
    stream = Stream(make(), config)
    layers = len(stream.layers.layers)

    def heard(read: torch.Tensor) -> list[torch.Tensor]:
        HEARD.clear()
        stream.view.renew()
        stream.read(read)
        return HEARD[:layers]

    chunk = heard(tokens(20))
    assert [q.shape[2] for q in chunk] == [20] * layers
    mark = stream.mark()
    for start in range(1, 5):
        lone = heard(tokens(1, seed=start))
        for before, q in zip(chunk, lone, strict=True):
            assert q.shape[2] == config.refresh
            torch.testing.assert_close(q[:, :, : 4 - start], before[:, :, 16 + start :])
    stream.rewind(mark)
    again = heard(tokens(1, seed=1))
    assert all(
        torch.equal(q[:, :, :3], before[:, :, 17:]) for before, q in zip(chunk, again, strict=True)
    )
    stream.forget(0, 3, 4)  # what was asked while it was in sight goes as well
    assert [q.shape[2] for q in heard(tokens(1))] == [1] * layers


def dense_shares(model: PreTrainedModel, read: torch.Tensor) -> torch.Tensor:
    """The attention that the last token of one row gives to each token, averaged over heads."""
    inner = model.model
    attention = inner.layers[0].self_attn
    with torch.no_grad():
        x = inner.layers[0].input_layernorm(inner.embed_tokens(read))
        dim = attention.head_dim
        q = attention.q_proj(x).view(1, read.shape[1], -1, dim).transpose(1, 2)
        k = attention.k_proj(x).view(1, read.shape[1], -1, dim).transpose(1, 2)
        cos, sin = inner.rotary_emb(x, torch.arange(read.shape[1])[None])
        q, k = apply_rotary_pos_emb(q, k, cos, sin)
        k = k.repeat_interleave(q.shape[1] // k.shape[1], 1)
        return (q[:, :, -1:] @ k.transpose(2, 3) * dim**-0.5).softmax(-1)[0, :, 0].mean(0)


@pytest.mark.parametrize("positions", ["compact", "true"])
@pytest.mark.parametrize("selector", FAR)
def test_shares_are_the_attention_that_each_stretch_gets(selector: str, positions: str) -> None:
    model, read = make(num_hidden_layers=1), tokens(150)
    wanted = dense_shares(model, read)
    config = StreamConfig(
        page=16, window=20, chunk=19, budget=4096, refresh=1, selector=selector,
        positions=positions, segmentation=Segmentation(least=4, most=20),
    )  # type: ignore[arg-type]  # fmt: skip
    stream = Stream(model, config)
    stream.read(read[:, :-1])
    masses = stream.watch()
    stream.read(read[:, -1:])
    shares = masses.shares()
    assert len(shares) > 5
    for (start, end), share in shares.items():
        assert 0 <= share <= 1
        assert share == pytest.approx(float(wanted[start:end].sum()), abs=1e-5)
    spans = sorted(shares)
    assert spans[0][0] == 4
    assert all(a[1] == b[0] for a, b in pairwise(spans))
    local = float(wanted[:4].sum() + wanted[spans[-1][1] :].sum())
    assert sum(shares.values()) + local == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("selector", FAR)
def test_shares_over_many_steps_and_layers_are_shares(selector: str) -> None:
    stream = Stream(make(), StreamConfig(**SMALL, selector=selector), rows=2)
    stream.read(tokens(140, rows=2))
    masses = stream.watch()
    for place in range(12):
        stream.read(tokens(1, rows=2, seed=place))
    for row in range(2):
        shares = masses.shares(row)
        assert shares
        assert all(0 <= share <= 1 for share in shares.values())
        assert 0 < sum(shares.values()) <= 1 + 1e-6
        assert all(4 <= start < end <= 152 for start, end in shares)
    before = masses.shares()
    stream.unwatch()
    stream.read(tokens(3, rows=2))
    assert masses.shares() == before


def test_recording_attention_does_not_change_the_output() -> None:
    found = []
    for watched in (False, True):
        stream = Stream(make(), StreamConfig(**SMALL))
        if watched:
            stream.watch()
        stream.read(tokens(150))
        found.append(stream.logits)
    torch.testing.assert_close(found[0], found[1], atol=1e-4, rtol=0)
