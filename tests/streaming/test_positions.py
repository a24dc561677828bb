"""Virtual positions of page ranges, and that listing ranges and removing tokens lose nothing."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memagent.streaming.page_ranges import (
    PageRanges,
    concatenate,
    from_range,
    from_rows,
    remove_tokens,
)
from memagent.streaming.positions import place

CPU = torch.device("cpu")
Spans = list[tuple[int, int, int]]
LENGTH = 60


def merged_tokens(stretches: PageRanges, page: int, row: int, head: int) -> list[int]:
    """The tokens in the order of the list."""
    spans = stretches.token_ranges(page, row, head)
    return [token for start, end, _ in spans for token in range(start, end)]


def of_heads(spans: list[list[Spans]], page: int) -> PageRanges:
    """PageRanges [B, H, M] from the spans of each row and head."""
    flat = from_rows([head for row in spans for head in row], page, CPU)
    shape = (len(spans), len(spans[0]), -1)
    tensors = (t.reshape(shape) for t in (flat.page, flat.lo, flat.hi, flat.group))
    return PageRanges(*tensors, groups=flat.groups)


@st.composite
def ascending(draw: st.DrawFn, first: int, end: int) -> Spans:
    """Spans in [first, end) that do not overlap, numbered in order."""
    ends = sorted(draw(st.sets(st.integers(first, end), max_size=8)))
    pairs = zip(ends[::2], ends[1::2], strict=False)
    return [(a, b, group) for group, (a, b) in enumerate(pairs, start=1)]


@dataclass
class Step:
    """Sinks, what each row and head recalled of [sinks, until), the window [until, end)."""

    page: int
    sinks: int
    until: int
    start: int
    far: list[list[Spans]]

    @property
    def rows(self) -> int:
        return len(self.far)

    @property
    def heads(self) -> int:
        return len(self.far[0])

    def placed(
        self, policy: str, holes: list[list[tuple[int, int]]] | None = None
    ) -> tuple[PageRanges, torch.Tensor, torch.Tensor]:
        parts = (
            from_range(0, self.sinks, self.page, self.rows, CPU),
            of_heads(self.far, self.page),
            from_range(self.until, LENGTH, self.page, self.rows, CPU),
        )
        if holes is not None:
            parts = tuple(remove_tokens(part, holes, self.page) for part in parts)
        return place(policy, *parts, self.page, self.start)  # type: ignore[arg-type]


@st.composite
def steps(draw: st.DrawFn) -> Step:
    page = draw(st.integers(2, 9))
    sinks = draw(st.integers(0, page))
    until = draw(st.integers(sinks, LENGTH - 2))
    rows, heads = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    far = [[draw(ascending(sinks, until)) for _ in range(heads)] for _ in range(rows)]
    return Step(page, sinks, until, draw(st.integers(until, LENGTH - 1)), far)


def positions(
    placed: tuple[PageRanges, torch.Tensor, torch.Tensor], page: int, row: int, head: int
) -> dict[int, int]:
    """Token → virtual position, in the order of the list."""
    whole, where, _ = placed
    found: dict[int, int] = {}
    for n, number in enumerate(whole.page[row, head].tolist()):
        if number < 0:
            continue
        for slot in range(int(whole.lo[row, head, n]), int(whole.hi[row, head, n])):
            token = number * page + slot
            assert token not in found
            found[token] = int(where[row, head, n]) + slot
    return found


def rows_and_heads(step: Step) -> list[tuple[int, int]]:
    return [(row, head) for row in range(step.rows) for head in range(step.heads)]


def expected_tokens(step: Step, row: int, head: int) -> list[int]:
    recalled = [t for start, end, _ in step.far[row][head] for t in range(start, end)]
    return [*range(step.sinks), *recalled, *range(step.until, LENGTH)]


@settings(max_examples=60, deadline=None)
@given(step=steps())
def test_compact_positions_follow_one_another_in_order(step: Step) -> None:
    placed = step.placed("compact")
    for row, head in rows_and_heads(step):
        found = positions(placed, step.page, row, head)
        assert list(found) == expected_tokens(step, row, head)
        sinks, rest = list(found.values())[: step.sinks], list(found.values())[step.sinks :]
        assert sinks == list(range(step.sinks))
        assert rest == list(range(rest[0], rest[0] + len(rest)))
        recalled = [sum(b - a for a, b, _ in head) for head in step.far[row]]
        # A head that recalls less has a gap after the sinks, so that all heads end at one position.
        assert rest[0] == step.sinks + max(recalled) - recalled[head]


@pytest.mark.parametrize("policy", ["compact", "constant", "true"])
@settings(max_examples=30, deadline=None)
@given(step=steps())
def test_a_query_has_the_position_of_its_own_key(policy: str, step: Step) -> None:
    placed = step.placed(policy)
    for row, head in rows_and_heads(step):
        found = positions(placed, step.page, row, head)
        assert int(placed[2][row]) == found[step.start]
        assert found[LENGTH - 1] - found[step.start] == LENGTH - 1 - step.start


@settings(max_examples=40, deadline=None)
@given(step=steps())
def test_constant_puts_everything_recalled_between_sinks_and_window(step: Step) -> None:
    placed = step.placed("constant")
    for row, head in rows_and_heads(step):
        found = positions(placed, step.page, row, head)
        recalled = [t for t in found if step.sinks <= t < step.until]
        window = [t for t in found if t >= step.until]
        assert [found[t] for t in range(step.sinks)] == list(range(step.sinks))
        assert all(found[t] == step.sinks + t % step.page for t in recalled)
        some = any(spans for spans in step.far[row])
        first = step.sinks + step.page * some
        assert [found[t] for t in window] == list(range(first, first + len(window)))


@settings(max_examples=30, deadline=None)
@given(step=steps())
def test_true_positions_are_positions_in_the_stream(step: Step) -> None:
    placed = step.placed("true")
    for row, head in rows_and_heads(step):
        found = positions(placed, step.page, row, head)
        assert list(found) == expected_tokens(step, row, head)
        assert all(token == position for token, position in found.items())


@pytest.mark.parametrize("policy", ["compact", "true"])
@settings(max_examples=40, deadline=None)
@given(step=steps(), data=st.data())
def test_hidden_tokens_keep_positions_ordered_and_distinct(
    policy: str, step: Step, data: st.DataObject
) -> None:
    holes = [[(a, b) for a, b, _ in data.draw(ascending(0, step.start))] for _ in range(step.rows)]
    placed = step.placed(policy, holes)
    for row, head in rows_and_heads(step):
        found = positions(placed, step.page, row, head)
        hidden = {t for a, b in holes[row] for t in range(a, b)}
        assert list(found) == [t for t in expected_tokens(step, row, head) if t not in hidden]
        places = list(found.values())
        assert places == sorted(set(places))
        assert int(placed[2][row]) == found[step.start]
        if policy == "compact":
            assert places[0] >= 0


@settings(max_examples=60, deadline=None)
@given(data=st.data(), page=st.integers(2, 9), rows=st.integers(1, 3), heads=st.integers(1, 3))
def test_holes_take_exactly_the_tokens_asked_for(
    data: st.DataObject, page: int, rows: int, heads: int
) -> None:
    spans = [[data.draw(ascending(0, LENGTH)) for _ in range(heads)] for _ in range(rows)]
    holes = [[(a, b) for a, b, _ in data.draw(ascending(0, LENGTH))] for _ in range(rows)]
    before = of_heads(spans, page)
    after = remove_tokens(before, holes, page)
    assert after.groups == before.groups
    for row in range(rows):
        hidden = {t for a, b in holes[row] for t in range(a, b)}
        for head in range(heads):
            kept = [t for t in merged_tokens(before, page, row, head) if t not in hidden]
            assert merged_tokens(after, page, row, head) == kept
            assert int(after.size[row, head].sum()) == len(kept)
            group_of = {t: g for a, b, g in spans[row][head] for t in range(a, b)}
            for start, _, group in after.token_ranges(page, row, head):
                assert group_of[start] == group


@settings(max_examples=60, deadline=None)
@given(data=st.data(), page=st.integers(2, 9), rows=st.integers(1, 3))
def test_spans_of_rows_come_back_page_by_page(data: st.DataObject, page: int, rows: int) -> None:
    spans = [data.draw(ascending(0, LENGTH)) for _ in range(rows)]
    made = from_rows(spans, page, CPU)
    assert made.page.shape[:2] == (rows, 1)
    assert made.groups == 1 + max((g for row in spans for _, _, g in row), default=0)
    assert ((made.lo >= 0) & (made.hi <= page)).all()
    for row in range(rows):
        pieces = made.token_ranges(page, row)
        assert all(start // page == (end - 1) // page for start, end, _ in pieces)
        wanted = [(t, g) for a, b, g in spans[row] for t in range(a, b)]
        assert [(t, g) for a, b, g in pieces for t in range(a, b)] == wanted


@pytest.mark.parametrize(("start", "end"), [(0, 0), (5, 5), (0, 8), (3, 9), (7, 30), (16, 17)])
def test_a_range_holds_its_tokens_once_in_every_row(start: int, end: int) -> None:
    made = from_range(start, end, 8, 3, CPU)
    for row in range(3):
        assert merged_tokens(made, 8, row, 0) == list(range(start, end))
    assert (made.group == 0).all()


def test_stacking_expands_shared_heads_and_keeps_the_order() -> None:
    shared = from_range(0, 5, 4, 2, CPU)
    apart = of_heads([[[(8, 9, 1)], [(8, 15, 1)]], [[], [(10, 11, 2)]]], 4)
    whole = concatenate([shared, apart, PageRanges.empty(2, CPU)])
    assert whole.groups == 3
    assert merged_tokens(whole, 4, 0, 0) == [*range(5), 8]
    assert merged_tokens(whole, 4, 0, 1) == [*range(5), *range(8, 15)]
    assert merged_tokens(whole, 4, 1, 0) == [*range(5)]
    assert merged_tokens(whole, 4, 1, 1) == [*range(5), 10]
