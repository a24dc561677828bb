"""Pages beyond the pool: in host memory, in files, or as text only; the logits stay the same."""

from pathlib import Path

import pytest
import torch

from memagent.streaming.cache import LayerCache
from memagent.streaming.config import StreamConfig
from memagent.streaming.stream import Stream
from memagent.streaming.tiers import DiskTier, HostTier, Key, TextTier, Tier
from tests.streaming.models import make, tokens

SMALL = {"page": 16, "window": 32, "chunk": 16, "budget": 64, "refresh": 4}
LEAST = StreamConfig(**SMALL).least_pages


def block(number: float) -> torch.Tensor:
    return torch.full((2, 2, 4, 8), float(number))


def blocks(*keys: Key) -> dict[Key, torch.Tensor]:
    return {key: block(100 * key[0] + 10 * key[1] + key[2]) for key in keys}


def written(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def read_on(stream: Stream, rows: int = 1) -> torch.Tensor:
    """400 tokens of a text, then twelve one by one."""
    stream.read(tokens(400, rows=rows))
    for place in range(12):
        stream.read(tokens(1, rows=rows, seed=place))
    assert stream.logits is not None
    return stream.logits


@pytest.mark.parametrize("selector", ["mean", "per_head", "representative"])
def test_pages_on_disk_are_recalled_as_they_were(selector: str, tmp_path: Path) -> None:
    model, rows = make(), 2
    config = StreamConfig(**SMALL, selector=selector)
    wanted = read_on(Stream(model, config, rows=rows), rows)
    small = StreamConfig(**SMALL, selector=selector, hot_pages=LEAST + 1)
    stream = Stream(model, small, rows=rows, folder=tmp_path)
    torch.testing.assert_close(read_on(stream, rows), wanted, atol=0, rtol=0)
    assert all(cache.k.shape[0] <= rows * (LEAST + 1) for cache in stream.layers.caches)
    files = list((tmp_path / "pages").iterdir())
    assert files
    assert {path.suffix for path in files} == {".safetensors"}
    assert stream.text.encoded == 0


@pytest.mark.parametrize("host_pages", [1, 9, 10_000])
def test_host_memory_between_pool_and_files_changes_nothing(
    host_pages: int, tmp_path: Path
) -> None:
    model = make()
    wanted = read_on(Stream(model, StreamConfig(**SMALL, selector="mean")))
    config = StreamConfig(**SMALL, selector="mean", hot_pages=LEAST)
    stream = Stream(model, config, folder=tmp_path, host_pages=host_pages)
    torch.testing.assert_close(read_on(stream), wanted, atol=0, rtol=0)
    assert any((tmp_path / "pages").iterdir()) == (host_pages < 10_000)
    alone = Stream(model, config, host_pages=10_000)
    torch.testing.assert_close(read_on(alone), wanted, atol=0, rtol=0)


@pytest.mark.parametrize("selector", ["oracle", "representative", "per_head"])
def test_a_step_that_needs_more_pages_than_may_be_hot_gets_them(
    selector: str, tmp_path: Path
) -> None:
    """Many small events, and heads that choose apart, touch more pages than the budget fills."""
    model, sizes = make(), {**SMALL, "budget": 256}
    wanted = read_on(Stream(model, StreamConfig(**sizes, selector=selector)))
    config = StreamConfig(**sizes, selector=selector, hot_pages=StreamConfig(**sizes).least_pages)
    stream = Stream(model, config, folder=tmp_path)
    torch.testing.assert_close(read_on(stream), wanted, atol=0, rtol=0)
    stream.forget(0, 10, 395)
    stream.read(tokens(20))
    assert stream.logits.isfinite().all()


def test_without_files_pages_are_read_again_from_their_text() -> None:
    config = StreamConfig(**SMALL, selector="mean", hot_pages=LEAST)
    stream = Stream(make(), config)
    assert read_on(stream).isfinite().all()
    assert stream.text.encoded > 0


def test_pages_recomputed_with_their_context_are_unchanged() -> None:
    """Of the first five pages, everything before them fits the context they are read again in."""
    whole = Stream(make(), StreamConfig(page=16, window=None, selector="recent"), rows=2)
    whole.read(tokens(150, rows=2))
    for row in range(2):
        for page in range(5):
            found = whole._encode(row, page)
            for cache, again in zip(whole.layers.caches, found, strict=True):
                physical = int(cache.table[row, page])
                there = torch.stack((cache.k[physical], cache.v[physical]))
                torch.testing.assert_close(again, there, atol=2e-4, rtol=0)
    later = whole._encode(0, 8)[1]
    cache = whole.layers.caches[1]
    assert (later[0] - cache.k[int(cache.table[0, 8])]).abs().max() > 1e-3


def test_only_text_gives_the_same_logits_while_the_context_is_whole() -> None:
    model = make()
    found = []
    for _ in range(2):
        hot = LEAST if found else None
        stream = Stream(model, StreamConfig(**SMALL, selector="mean", hot_pages=hot))
        stream.read(tokens(90))
        if found:  # all full pages go, and are made again from the text
            for cache in stream.layers.caches:
                cache.step += 1
                cache._evict()
        stream.read(tokens(1, seed=4))
        found.append(stream.logits)
    assert stream.text.encoded > 0
    torch.testing.assert_close(found[0], found[1], atol=1e-3, rtol=0)


class Kept(Tier):
    """Remembers what it is given."""

    def __init__(self) -> None:
        self.blocks: dict[Key, torch.Tensor] = {}

    def put(self, blocks) -> None:
        self.blocks.update(blocks)

    def get(self, key):
        return self.blocks.get(key)

    def drop(self, gone) -> None:
        self.blocks = {key: block for key, block in self.blocks.items() if not gone(key)}

    def has(self, key) -> bool:
        return key in self.blocks


def test_a_full_page_is_not_evicted_in_the_step_that_fills_it() -> None:
    """Only tokens of earlier steps could be read again."""
    below = Kept()
    cpu = torch.device("cpu")
    cache = LayerCache(
        0, 1, 1, 4, 8, dtype=torch.float32, device=cpu, limit=4, below=below
    )  # pages of four tokens
    source = torch.Generator().manual_seed(0)
    for start in range(0, 150, 3):
        cache.step += 1
        k = torch.randn(1, 1, 3, 8, generator=source)
        cache.append(start, k, k)
        written = range(start // 4, (start + 2) // 4 + 1)
        far = torch.randint(0, start // 4 + 1, (1, 1, 1), generator=source)
        cache.resolve(far)  # what is looked at before anything is attended to
        assert (cache.table[0, list(written)] >= 0).all()
        assert cache.k.shape[0] == 4
    assert below.blocks


def test_blocks_come_back_from_files_and_from_a_new_process(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path)
    put = blocks((0, 0, 0), (0, 0, 1), (1, 1, 7))
    tier.put(put)
    tier.put(blocks((2, 0, 3)))
    tier.put({})
    assert len(list(tmp_path.iterdir())) == 2
    assert tier.bytes() == len(written(tmp_path))
    for opened in (tier, DiskTier(tmp_path)):
        for key, wanted in {**put, **blocks((2, 0, 3))}.items():
            assert opened.has(key)
            torch.testing.assert_close(opened.get(key), wanted, atol=0, rtol=0)
        assert opened.get((9, 9, 9)) is None
        assert not opened.has((9, 9, 9))
    again = DiskTier(tmp_path)
    again.put(blocks((5, 0, 0)))  # a name of its own, not that of an older file
    assert again.get((0, 0, 0)) is not None


def test_a_block_put_again_replaces_the_old_one(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path)
    tier.put(blocks((0, 0, 0), (0, 0, 1)))
    tier.put({(0, 0, 0): block(77)})
    for opened in (tier, DiskTier(tmp_path)):
        assert opened.get((0, 0, 0)).unique().tolist() == [77]
        assert opened.get((0, 0, 1)).unique().tolist() == [1]


def test_dropped_blocks_leave_no_bytes(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path)
    source = torch.Generator().manual_seed(0)
    put = {(0, 0, n): torch.randn(2, 2, 4, 8, generator=source) for n in range(6)}
    tier.put({key: put[key] for key in list(put)[:4]})
    tier.put({key: put[key] for key in list(put)[4:]})
    tier.drop(lambda key: key[2] in (1, 4, 5))
    assert len(list(tmp_path.iterdir())) == 1
    for key, wanted in put.items():
        gone = key[2] in (1, 4, 5)
        assert tier.has(key) != gone
        assert (wanted.numpy().tobytes()[:32] in written(tmp_path)) != gone
        if not gone:
            torch.testing.assert_close(tier.get(key), wanted, atol=0, rtol=0)
    assert not DiskTier(tmp_path).has((0, 0, 1))


def test_the_oldest_files_are_deleted_beyond_the_limit(tmp_path: Path) -> None:
    text = TextTier(lambda row, page: [block(-1)])
    tier = DiskTier(tmp_path, limit=3, below=text)
    for page in range(5):
        tier.put(blocks((0, 0, page)))
    assert len(list(tmp_path.iterdir())) == 3
    assert tier.get((0, 0, 4)).unique().tolist() == [4]
    assert tier.get((0, 0, 0)).unique().tolist() == [-1]
    assert not tier.has((0, 0, 0))
    assert text.encoded == 1


@pytest.mark.parametrize("damage", ["cut", "empty", "noise"])
def test_damaged_files_and_those_of_a_killed_write_are_dropped(damage: str, tmp_path: Path) -> None:
    tier = DiskTier(tmp_path)
    tier.put(blocks((0, 0, 0)))
    tier.put(blocks((0, 0, 1)))
    first = min(tmp_path.iterdir())
    whole = first.read_bytes()
    first.write_bytes({"cut": whole[:-9], "empty": b"", "noise": b"\xff" * len(whole)}[damage])
    (tmp_path / "00000009.new").write_bytes(whole[:40])
    opened = DiskTier(tmp_path)
    assert not opened.has((0, 0, 0))
    assert opened.get((0, 0, 0)) is None
    assert opened.get((0, 0, 1)).unique().tolist() == [1]
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]


def test_host_memory_passes_its_oldest_blocks_to_disk() -> None:
    below = Kept()
    tier = HostTier(2, below)
    tier.put(blocks((0, 0, 0), (0, 0, 1)))
    assert below.blocks == {}
    assert tier.get((0, 0, 0)) is not None  # used now: the other is the oldest
    tier.put(blocks((0, 0, 2)))
    assert set(below.blocks) == {(0, 0, 1)}
    for page in range(3):
        assert tier.has((0, 0, page))
        assert tier.get((0, 0, page)).unique().tolist() == [page]
    tier.flush()
    assert set(below.blocks) == {(0, 0, 0), (0, 0, 1), (0, 0, 2)}
    tier.drop(lambda key: key[2] < 2)
    assert set(below.blocks) == {(0, 0, 2)}
    assert tier.get((0, 0, 0)) is None


def test_host_memory_holds_a_copy() -> None:
    tier = HostTier(5, None)
    mine = block(3)
    tier.put({(0, 0, 0): mine})
    mine.zero_()
    assert tier.get((0, 0, 0)).unique().tolist() == [3]


def test_a_page_made_from_text_serves_all_layers_once() -> None:
    tier = TextTier(lambda row, page: [block(10 * layer + page) for layer in range(3)], keep=2)
    tier.put(blocks((0, 0, 0)))
    assert not tier.has((0, 0, 0))
    assert [tier.get((layer, 0, 5)).unique().item() for layer in range(3)] == [5, 15, 25]
    assert tier.encoded == 1
    for page in (6, 7):
        tier.get((0, 0, page))
    tier.get((1, 0, 5))
    assert tier.encoded == 4  # only the last two were kept
    tier.drop(lambda key: key[2] == 5)
    tier.get((1, 0, 5))
    assert tier.encoded == 5
