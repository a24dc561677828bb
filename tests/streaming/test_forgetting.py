"""Forgotten tokens are gone from every tier, are never attended to, and a stream can go back."""

from pathlib import Path

import pytest
import torch

from memagent.streaming.config import StreamConfig
from memagent.streaming.selectors.table import SELECTORS
from memagent.streaming.stream import Stream
from tests.streaming.models import make, tokens

SMALL = {"page": 16, "window": 24, "chunk": 20, "budget": 64, "refresh": 4}
FAR = sorted(SELECTORS.keys() - {"landmark", "recent"})


def keys_of(stream: Stream, layer: int, start: int, end: int) -> torch.Tensor:
    cache = stream.layers.caches[layer]
    token = torch.arange(start, end)
    where = cache.resolve((token // 16)[None, None])[0, 0]
    return torch.stack((cache.k[where, :, token % 16], cache.v[where, :, token % 16]))


@pytest.mark.parametrize("selector", FAR)
def test_a_forgotten_event_has_no_mass_and_no_keys(selector: str, tmp_path: Path) -> None:
    config = StreamConfig(**SMALL, selector=selector)
    stream = Stream(make(), config, folder=tmp_path)
    stream.read(tokens(150))
    lost = keys_of(stream, 0, 30, 70).clone()
    stream.forget(0, 30, 70)
    masses = stream.watch()
    for place in range(20):
        stream.read(tokens(1, seed=place))
    shares = masses.shares()
    assert shares
    for (start, end), share in shares.items():
        inside = max(0, min(end, 70) - max(start, 30))
        assert share == 0 or inside < end - start
    assert (keys_of(stream, 0, 30, 70) == 0).all()
    assert (stream.tokens[0, 30:70] == 0).all()
    assert stream.surprise[0, 30:70].isnan().all()
    for cache in stream.layers.caches:
        cache.store()
    written = b"".join(path.read_bytes() for path in (tmp_path / "pages").iterdir())
    for number in (0, 20, 39):
        assert lost[0, number].numpy().tobytes() not in written


@pytest.mark.parametrize("selector", FAR)
def test_the_content_of_forgotten_slots_changes_nothing(selector: str) -> None:
    found = []
    for fill in (0.0, 1e4):
        stream = Stream(make(), StreamConfig(**SMALL, selector=selector))
        stream.read(tokens(150))
        stream.forget(0, 30, 70)
        for layer, cache in enumerate(stream.layers.caches):
            token = torch.arange(30, 70)
            where = cache.resolve((token // 16)[None, None])[0, 0]
            cache.k[where, :, token % 16] = fill
            cache.v[where, :, token % 16] = fill
            assert layer < 2
        for place in range(8):
            stream.read(tokens(1, seed=place))
        found.append(stream.logits)
    torch.testing.assert_close(found[0], found[1], atol=0, rtol=0)


def test_only_hidden_tokens_are_left_out_for_a_while() -> None:
    """Hiding without forgetting is undone by showing."""
    stream = Stream(make(), StreamConfig(**SMALL, selector="representative"))
    stream.read(tokens(150))
    mark = stream.mark()
    stream.read(tokens(9, seed=5))
    seen = stream.logits
    stream.rewind(mark)
    stream.view.hidden = [[(0, 150)]]
    stream.read(tokens(9, seed=5))
    unseen = stream.logits
    alone = Stream(make(), StreamConfig(**SMALL, selector="representative"))
    alone.read(tokens(9, seed=5))
    assert alone.logits is not None
    assert unseen is not None
    torch.testing.assert_close(unseen, alone.logits, atol=1e-4, rtol=0)
    stream.rewind(mark)
    stream.view.hidden = [[]]
    stream.read(tokens(9, seed=5))
    torch.testing.assert_close(stream.logits, seen, atol=1e-5, rtol=0)


@pytest.mark.parametrize("selector", sorted(SELECTORS.keys() - {"landmark"}))
@pytest.mark.parametrize("cut", [64, 75, 130])
def test_rewinding_a_stream_undoes_reading(selector: str, cut: int) -> None:
    config = StreamConfig(**SMALL, selector=selector)
    straight = Stream(make(), config, rows=2)
    straight.read(tokens(cut, rows=2))
    straight.read(tokens(50, rows=2, seed=8))
    back = Stream(make(), config, rows=2)
    back.read(tokens(cut, rows=2))
    mark = back.mark()
    back.read(tokens(70, rows=2, seed=9))
    back.rewind(mark)
    assert back.length == cut
    back.read(tokens(50, rows=2, seed=8))
    torch.testing.assert_close(back.logits, straight.logits, atol=1e-4, rtol=0)
    assert [log.all(back.length) for log in back.events] == [
        log.all(straight.length) for log in straight.events
    ]


def test_forgetting_outside_the_stream_is_refused() -> None:
    stream = Stream(make(), StreamConfig(**SMALL))
    stream.read(tokens(10))
    with pytest.raises(ValueError, match="10 tokens"):
        stream.forget(0, 5, 11)
