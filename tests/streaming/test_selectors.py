"""Each selector finds the pages that match the query and respects budget, holes and pins."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch

from memagent.kernels.rope import rotate
from memagent.streaming.cache import LayerCache
from memagent.streaming.page_ranges import PageRanges
from memagent.streaming.selectors.base import Far, PageSelector
from memagent.streaming.selectors.table import SELECTORS
from memagent.streaming.summaries import Summaries

CPU = torch.device("cpu")
PAGE, PAGES, DIM, KV_HEADS, HEADS = 16, 20, 16, 2, 4
LENGTH, FIRST, UNTIL, DISTANCE = PAGES * PAGE + 5, 4, 300, 40
INV_FREQ = 10000.0 ** (-torch.arange(DIM // 2) / (DIM // 2))
SCALE = DIM**-0.5
FAR = sorted(SELECTORS.keys() - {"recent"})
APART = sorted({"minmax", "oracle", "per_head"})  # each kv head for itself
# Events tile the history; those of 16 tokens from 96 to 192 are pages too.
BEGINS = [0, 20, 30, 55, 70, 82, *range(96, 193, 16), 201, 215, 240, 252, 270, 289, 310]
EVENTS = list(pairwise(BEGINS))
HIT = 8  # the page planted as a rule: tokens 128 to 144, an event as well

query = torch.randn(2, KV_HEADS, DIM, generator=torch.Generator().manual_seed(7))
"""One direction for each row and kv head, which all its query heads share."""


def queries() -> torch.Tensor:
    return query.repeat_interleave(HEADS // KV_HEADS, 1)[:, :, None] * 3


def meets(row: int, head: int) -> torch.Tensor:
    """The stored key (rotated by its slot already) that the query at its distance meets best."""
    place = torch.full((1,), DISTANCE)
    return rotate(query[row, head][None], place, INV_FREQ)[0]


class History:
    """Two rows of random keys, into which pages that match the query are planted."""

    def __init__(self, selector: str, rows: int = 2, seed: int = 0) -> None:
        self.name, self.rows = selector, rows
        self.selector = SELECTORS[selector]()
        source = torch.Generator().manual_seed(seed)
        shape = (rows, KV_HEADS, LENGTH, DIM)
        self.k, self.v = (torch.randn(shape, generator=source) * 0.4 for _ in range(2))
        self.q = torch.randn(rows, HEADS, LENGTH, DIM, generator=source)

    def plant(self, page: int, strength: float = 3.0, heads: tuple[int, ...] = (0, 1)) -> "History":
        # The landmark is in the last slot; the page's other keys must not affect it.
        first = PAGE - 1 if self.name == "landmark" else 0
        for row in range(self.rows):
            for head in heads:
                self.k[row, head, page * PAGE + first : (page + 1) * PAGE] = (
                    meets(row, head) * strength
                )
        return self

    def far(self, **changes: Any) -> Far:
        cache = LayerCache(0, self.rows, KV_HEADS, PAGE, DIM, dtype=torch.float32, device=CPU)
        summaries = Summaries(self.selector.needs, self.rows, KV_HEADS, DIM, torch.float32, CPU)
        cache.append(0, self.k, self.v)
        summaries.vote(0, self.q, self.k, SCALE)
        summaries.add_pages(cache)
        nothing: list[list[tuple[int, int]]] = [[] for _ in range(self.rows)]
        options: dict[str, Any] = {
            "page": PAGE, "first": FIRST, "until": UNTIL, "budget": 5 * PAGE, "contiguity": 0.3,
            "least": 8, "distance": DISTANCE, "cache": cache, "summaries": summaries,
            "events": [list(EVENTS) for _ in range(self.rows)], "hidden": nothing,
            "pinned": nothing, "inv_freq": INV_FREQ, "scale": SCALE,
            "separate_events": True,
        }  # fmt: skip
        return Far(**{**options, **changes})

    def choose(self, carry: PageRanges | None = None, **changes: Any) -> PageRanges:
        return self.selector.choose(self.far(**changes), queries()[: self.rows], carry)


def each(chosen: PageRanges) -> Iterator[tuple[int, int, list[int]]]:
    """Row, head and tokens of each list."""
    for row in range(chosen.page.shape[0]):
        for head in range(chosen.page.shape[1]):
            spans = chosen.token_ranges(PAGE, row, head)
            yield row, head, [t for start, end, _ in spans for t in range(start, end)]


def pages_of(chosen: PageRanges, head: int = 0) -> set[int]:
    return {start // PAGE for start, _, _ in chosen.token_ranges(PAGE, 0, head)}


def unfinished() -> set[int]:
    """Behind the last event that ended before the window: always in reach."""
    return set(range(max(end for _, end in EVENTS if end <= UNTIL), UNTIL))


@pytest.mark.parametrize("selector", FAR)
@pytest.mark.parametrize("page", [6, HIT, 11])
def test_the_pages_that_match_the_query_are_chosen(selector: str, page: int) -> None:
    for _, _, chosen in each(History(selector).plant(page).choose()):
        assert set(range(page * PAGE, (page + 1) * PAGE)) <= set(chosen)


def test_sinks_and_window_alone_choose_nothing() -> None:
    chosen = History("recent").plant(HIT).choose()
    assert all(tokens == [] for _, _, tokens in each(chosen))


@pytest.mark.parametrize("selector", FAR)
@pytest.mark.parametrize("budget", [0, 10, PAGE, 50, 7 * PAGE, 10_000])
@pytest.mark.parametrize("seed", [1, 2])
def test_no_more_than_the_budget_and_no_token_twice(selector: str, budget: int, seed: int) -> None:
    chosen = History(selector, seed=seed).choose(budget=budget)
    for _, _, tokens in each(chosen):
        assert tokens == sorted(set(tokens))
        assert all(FIRST <= token < UNTIL for token in tokens)
        extra = unfinished() if selector == "representative" else set()
        assert len(set(tokens) - extra) <= budget
    assert (chosen.size >= 0).all()
    assert chosen.group.max() < chosen.groups if chosen.group.numel() else True
    if budget == 10_000:
        everything = set(range(FIRST, UNTIL))
        assert all(set(tokens) == everything for _, _, tokens in each(chosen))


@pytest.mark.parametrize("selector", FAR)
def test_each_choice_has_a_mass_of_its_own(selector: str) -> None:
    chosen = History(selector).choose()
    for row in range(2):
        for head in range(chosen.page.shape[1]):
            groups: dict[int, list[tuple[int, int]]] = {}
            for start, end, group in chosen.token_ranges(PAGE, row, head):
                groups.setdefault(group, []).append((start, end))
            assert 0 not in groups
            for pieces in groups.values():  # one event or one page: without gaps
                assert all(a[1] == b[0] for a, b in pairwise(pieces))


@pytest.mark.parametrize("selector", FAR)
def test_the_choice_does_not_depend_on_computing_mass(selector: str) -> None:
    history = History(selector).plant(HIT)
    found = []
    for apart in (False, True):
        carry = History(selector).plant(3).choose(separate_events=apart)
        found.append(list(each(history.choose(carry, separate_events=apart, contiguity=0.7))))
    assert found[0] == found[1]


@pytest.mark.parametrize("selector", FAR)
def test_hidden_pages_and_events_are_never_chosen(selector: str) -> None:
    hole = (HIT * PAGE, (HIT + 1) * PAGE)
    chosen = History(selector).plant(HIT).choose(hidden=[[hole], []])
    for row, _, tokens in each(chosen):
        assert (set(range(*hole)) <= set(tokens)) == (row == 1)
        assert row == 1 or not set(range(*hole)) & set(tokens)
        assert tokens  # what is hidden takes no place from the others


@pytest.mark.parametrize("selector", FAR)
def test_nothing_is_chosen_if_all_is_hidden(selector: str) -> None:
    chosen = History(selector).choose(hidden=[[(0, UNTIL)], [(0, UNTIL)]])
    for _, _, tokens in each(chosen):
        assert set(tokens) <= (unfinished() if selector == "representative" else set())


@pytest.mark.parametrize("selector", FAR)
def test_the_pinned_come_before_better_matches(selector: str) -> None:
    history = History(selector)
    for page in (6, 7, 8, 9, 10):
        history.plant(page, strength=9)
    history.plant(11, strength=-9)
    pinned = (11 * PAGE, 12 * PAGE)
    chosen = history.choose(pinned=[[pinned], []], budget=3 * PAGE, contiguity=0.0)
    for row, _, tokens in each(chosen):
        assert (set(range(*pinned)) <= set(tokens)) == (row == 0)
        extra = unfinished() if selector == "representative" else set()
        assert len(set(tokens) - extra) == 3 * PAGE


@pytest.mark.parametrize("selector", FAR)
def test_hidden_wins_over_pinned(selector: str) -> None:
    place = [[(HIT * PAGE, (HIT + 1) * PAGE)]] * 2
    for _, _, tokens in each(History(selector).choose(pinned=place, hidden=place)):
        assert not set(range(*place[0][0])) & set(tokens)


@pytest.mark.parametrize("selector", FAR)
def test_pins_and_events_inside_the_sinks_use_no_budget(selector: str) -> None:
    """A first event shorter than the sinks, and a pin that reaches into a page of sinks only."""
    events = [[(0, 10), (10, 16), (16, 20), *EVENTS[1:]]] * 2
    pinned: list[list[tuple[int, int]]] = [[(0, 20)], [(10, 20)]]
    chosen = History(selector).choose(first=PAGE, events=events, pinned=pinned, budget=2 * PAGE)
    assert (chosen.size[chosen.page >= 0] > 0).all()
    for _, _, tokens in each(chosen):
        assert set(range(16, 20)) <= set(tokens)
        assert min(tokens) == PAGE


def test_an_event_that_ends_inside_the_sinks_is_not_recalled() -> None:
    events = [[(0, 2), (2, 3), (3, 20), *EVENTS[1:]]] * 2
    pinned: list[list[tuple[int, int]]] = [[(0, 5)]] * 2
    chosen = History("representative").choose(events=events, pinned=pinned, budget=32)
    assert (chosen.size >= 0).all()
    for _, _, tokens in each(chosen):
        assert set(range(FIRST, 20)) <= set(tokens)


@pytest.mark.parametrize("selector", APART)
def test_each_kv_head_chooses_its_own_pages(selector: str) -> None:
    chosen = History(selector).plant(6, heads=(0,)).plant(HIT, heads=(1,)).choose(budget=PAGE)
    assert chosen.page.shape[1] == KV_HEADS
    assert pages_of(chosen, 0) == {6}
    assert pages_of(chosen, 1) == {HIT}


@pytest.mark.parametrize("selector", sorted(set(FAR) - set(APART)))
def test_other_selectors_choose_once_per_layer(selector: str) -> None:
    chosen = History(selector).plant(6, heads=(0,)).plant(HIT, heads=(1,)).choose()
    assert chosen.page.shape[1] == 1
    assert {6, HIT} <= pages_of(chosen)


@pytest.mark.parametrize("selector", sorted(SELECTORS))
def test_without_pages_outside_the_window_nothing_is_chosen(selector: str) -> None:
    chosen = History(selector).choose(until=FIRST, events=[[], []])
    assert all(tokens == [] for _, _, tokens in each(chosen))


@pytest.mark.parametrize("selector", FAR)
def test_a_row_of_a_batch_chooses_the_same_pages_as_alone(selector: str) -> None:
    both, alone = History(selector), History(selector, rows=1)
    alone.k, alone.v, alone.q = both.k[:1], both.v[:1], both.q[:1]
    found = {(row, head): chosen for row, head, chosen in each(both.choose())}
    for row, head, tokens in each(alone.choose()):
        assert found[row, head] == tokens


def test_the_neighbours_of_a_hit_come_with_it() -> None:
    history = History("representative").plant(HIT)
    near = [(112, 128), (128, 144), (144, 160)]
    with_them = history.choose(budget=48, contiguity=0.6)
    without = history.choose(budget=16, contiguity=0.0)
    wanted = {t for start, end in near for t in range(start, end)}
    for _, _, tokens in each(with_them):
        assert set(tokens) == wanted | unfinished()
    for _, _, tokens in each(without):
        assert set(tokens) == set(range(128, 144)) | unfinished()


def test_the_last_choice_is_kept_while_there_is_room() -> None:
    last = History("representative").plant(6).choose(budget=16, contiguity=0.0)
    history = History("representative").plant(11)
    kept = history.choose(carry=last, budget=64, contiguity=0.75)
    for _, _, tokens in each(kept):
        wanted = {*range(160, 208), *range(96, 112)} | unfinished()  # hit, neighbours, the last
        assert set(tokens) <= wanted | set(range(201, 215))
        assert set(range(96, 112)) <= set(tokens)
    for _, _, tokens in each(history.choose(budget=64, contiguity=0.75)):
        assert not set(range(96, 112)) & set(tokens)


@pytest.mark.parametrize("distance", [3, DISTANCE])
def test_the_oracle_scores_pages_by_their_attention(distance: int) -> None:
    history = History("oracle")
    assert isinstance(history.selector, PageSelector)
    q = torch.randn(2, HEADS, 3, DIM, generator=torch.Generator().manual_seed(3)) * 3
    far = history.far(distance=distance, hidden=[[(40, 90)], []])
    seen = torch.ones(2, 1, far.pages, dtype=torch.bool)
    scores = history.selector.score(far, q, seen)
    # No slot comes after the queries, however close they are placed.
    turned = rotate(q, torch.full((1, 1, 1), max(distance, PAGE - 1)), INV_FREQ)
    keys = history.k.repeat_interleave(HEADS // KV_HEADS, 1)
    logits = turned @ keys.transpose(-1, -2) * SCALE
    token = torch.arange(LENGTH)
    for row in range(2):
        seen = (token >= FIRST) & (token < UNTIL)
        if row == 0:
            seen &= (token < 40) | (token >= 90)
        share = logits[row].masked_fill(~seen, float("-inf")).softmax(-1).mean(1)  # over queries
        by_head = share.view(KV_HEADS, -1, LENGTH).sum(1)
        wanted = torch.zeros(KV_HEADS, PAGES + 1).index_add_(1, token // PAGE, by_head)
        torch.testing.assert_close(scores[row], wanted[:, : far.pages], atol=1e-5, rtol=0)
