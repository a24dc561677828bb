"""Event boundaries against the rule's definition: surprise > mean + gamma × deviation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memagent.memory.segmentation.boundaries import Boundaries


def plain(
    surprises: list[float], gamma: float, tau: int, least: int, most: int, cuts: set[int]
) -> list[int]:
    """The tokens that begin an event, looked up one by one in what came before."""
    begins: list[int] = []
    for token, surprise in enumerate(surprises):
        before = np.array([s for s in surprises[:token] if math.isfinite(s)][-tau:])
        size = token - begins[-1] if begins else 0
        full = not begins or token in cuts or size >= most
        may = size >= least and len(before) > 1
        if full or (may and surprise > before.mean() + gamma * before.std()):
            begins.append(token)
    return begins


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(0, 200),
    gamma=st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.5]),
    tau=st.integers(2, 60),
    least=st.integers(1, 12),
    more=st.integers(0, 40),
    cuts=st.sets(st.integers(0, 199), max_size=6),
)
def test_events_begin_where_surprise_exceeds_what_came_before(
    seed: int, count: int, gamma: float, tau: int, least: int, more: int, cuts: set[int]
) -> None:
    surprises = np.random.default_rng(seed).gamma(1.5, 2.0, count).tolist()
    for token in range(0, count, 37):
        surprises[token] = float("nan")
    rule = Boundaries(gamma, tau, least, least + more)
    found = []
    for token, surprise in enumerate(surprises):
        if token in cuts:
            rule.cut()
        if rule.push(surprise):
            found.append(token)
    assert found == plain(surprises, gamma, tau, least, least + more, cuts)


def test_a_constant_surprise_begins_nothing_before_the_event_is_full() -> None:
    rule = Boundaries(gamma=1.0, tau=16, least=2, most=10)
    assert [n for n in range(30) if rule.push(0.1)] == [0, 10, 20]


def test_a_copy_continues_identically_and_independently() -> None:
    surprises = np.random.default_rng(3).gamma(1.5, 2.0, 300).tolist()
    rule = Boundaries(tau=32, least=4, most=40)
    for surprise in surprises[:150]:
        rule.push(surprise)
    copies = [rule.copy(), rule.resumed(list(rule.seen), rule.size)]
    wanted = [rule.push(surprise) for surprise in surprises[150:]]
    assert True in wanted
    for copy in copies:
        assert [copy.push(surprise) for surprise in surprises[150:]] == wanted


@pytest.mark.parametrize("sizes", [{"tau": 1}, {"least": 0}, {"least": 9, "most": 8}])
def test_sizes_that_make_no_sense_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="least <= most"):
        Boundaries(**sizes)
