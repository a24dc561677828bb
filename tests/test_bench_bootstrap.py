"""The paired gain of one method over another, and its confidence interval."""

import numpy as np
import pytest

from memagent_bench.bootstrap import paired_gain


def test_a_gain_that_every_question_has_is_certain() -> None:
    own = np.linspace(0, 1, 40)
    assert paired_gain(own + 0.25, own) == (0.25, 0.25, 0.25)


def test_questions_are_paired_not_drawn_apart() -> None:
    random = np.random.default_rng(1)
    own = random.normal(0, 100, 400)  # questions differ by far more than the ways do
    gain, low, high = paired_gain(own + random.normal(1, 2, 400), own)
    assert low < gain < high
    # What theory has for the mean of 400 differences of deviation 2.
    assert (high - low) / 2 == pytest.approx(1.96 * 2 / 20, rel=0.15)


def test_a_difference_by_chance_has_zero_inside() -> None:
    random = np.random.default_rng(2)
    _, low, high = paired_gain(random.normal(0, 1, 200), random.normal(0, 1, 200))
    assert low < 0 < high
