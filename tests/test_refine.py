"""The refined boundary against two-way modularity on the similarity graph, built in full."""

import numpy as np
import pytest

from memagent.memory.refine import best_cut, modularity


def on_the_graph(keys: np.ndarray) -> np.ndarray:
    """Newman's modularity of each cut t = 0..n into the tokens before t and the rest."""
    graph = keys @ keys.T
    degree, total = graph.sum(1), graph.sum()
    gain = graph - np.outer(degree, degree) / total
    cuts = range(len(keys) + 1)
    return np.array([gain[:t, :t].sum() + gain[t:, t:].sum() for t in cuts]) / total


def windows() -> list[np.ndarray]:
    """300 windows of 2 to 300 keys: some of one topic, some of two, some of none."""
    source = np.random.default_rng(5)
    sizes = [*range(2, 42), *source.integers(42, 140, 240).tolist(), *range(281, 301)]
    found = []
    for number, size in enumerate(sizes):
        keys = source.normal(size=(size, 16))
        if number % 3:
            cut = int(source.integers(0, size + 1))
            topics = source.normal(size=(2, 16)) * (number % 3)
            keys += np.where(np.arange(size)[:, None] < cut, topics[0], topics[1])
        found.append(keys)
    return found


WINDOWS = windows()


def test_prefix_sums_give_the_modularity_of_the_graph() -> None:
    for keys in WINDOWS:
        wanted = on_the_graph(keys)
        np.testing.assert_allclose(
            2 * modularity(keys), wanted, atol=1e-9 * max(1, np.abs(wanted).max())
        )


@pytest.mark.parametrize(("least", "most"), [(1, None), (4, None), (1, 60), (8, 128)])
def test_the_best_cut_is_that_of_the_graph(least: int, most: int | None) -> None:
    for number, keys in enumerate(WINDOWS):
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
        score = on_the_graph(keys)
        best = max(allowed, key=lambda cut: score[cut])
        slack = 1e-9 * max(1, np.abs(score).max())
        if score[best] > score[original] + slack:
            assert found in allowed
            assert score[found] >= score[best] - slack
        elif score[best] < score[original] - slack:
            assert found == original
        else:
            assert abs(score[found] - score[original]) <= slack


def test_two_topics_are_parted_where_they_meet() -> None:
    keys = np.repeat(np.eye(2), [13, 20], axis=0)
    assert best_cut(keys, 3) == 13
    assert best_cut(keys, 13) == 13
    assert best_cut(keys, 20, least=15) == 15
    assert best_cut(keys, 20, most=19) == 14


def test_keys_that_say_nothing_leave_the_boundary() -> None:
    assert best_cut(np.zeros((10, 4)), 7) == 7
    assert best_cut(np.ones((10, 4)), 7) == 7
    assert best_cut(np.array([[1.0], [-1.0]]), 1) == 1
