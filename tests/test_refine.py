"""The refined boundary against two-way modularity on the similarity graph, built in full."""

import numpy as np
import pytest

from memagent.memory.segmentation.refine import best_cut, modularity
from memagent_bench.measures.segments.graph import cumulated_modularity, graph_modularity, windows

WINDOWS = list(windows(1000))
GRAPHS = [graph_modularity(keys) for keys in WINDOWS]


def test_prefix_sums_give_the_modularity_of_the_graph() -> None:
    for keys, wanted in zip(WINDOWS, GRAPHS, strict=True):
        slack = 1e-9 * max(1, np.abs(wanted).max())
        np.testing.assert_allclose(2 * modularity(keys), wanted, atol=slack)
        np.testing.assert_allclose(cumulated_modularity(keys), wanted, atol=slack)


@pytest.mark.parametrize(("least", "most"), [(1, None), (4, None), (1, 60), (8, 128)])
def test_the_best_cut_is_that_of_the_graph(least: int, most: int | None) -> None:
    for number, (keys, score) in enumerate(zip(WINDOWS, GRAPHS, strict=True)):
        count = len(keys)
        most_here = count if most is None else most
        allowed = [
            cut for cut in range(count + 1) if least <= min(cut, count - cut)
            and max(cut, count - cut) <= most_here
        ]  # fmt: skip
        original = number % (count - 1) + 1
        found = best_cut(keys, original, least, most)
        if not allowed:
            assert found == original
            continue
        best = max(allowed, key=lambda cut: score[cut])
        slack = 1e-9 * max(1, np.abs(score).max())
        if score[best] > score[original] + slack:
            assert found in allowed
            assert score[found] >= score[best] - slack
        elif score[best] < score[original] - slack:
            assert found == original
        else:
            assert abs(score[found] - score[original]) <= slack


def test_two_topics_are_separated_where_they_meet() -> None:
    keys = np.repeat(np.eye(2), [13, 20], axis=0)
    assert best_cut(keys, 3) == 13
    assert best_cut(keys, 13) == 13
    assert best_cut(keys, 20, least=15) == 15
    assert best_cut(keys, 20, most=19) == 14


def test_uninformative_keys_leave_the_boundary() -> None:
    assert best_cut(np.zeros((10, 4)), 7) == 7
    assert best_cut(np.ones((10, 4)), 7) == 7
    assert best_cut(np.array([[1.0], [-1.0]]), 1) == 1
