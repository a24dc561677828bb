"""On random page lists the vectorised implementation agrees with the reference."""

import hypothesis.strategies as st
import torch
from hypothesis import given, settings

from tests.kernels.cases import attended, case, in_float64, same

SHAPES = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**31),
        "batch": st.integers(1, 2),
        "kv_heads": st.integers(1, 3),
        "group": st.integers(1, 8),
        "tokens": st.integers(1, 20),
        "dim": st.sampled_from((16, 24, 32, 80)),
        "slots": st.sampled_from((2, 16, 20)),
        "entries": st.integers(0, 9),
        "shared": st.booleans(),
        "groups": st.integers(1, 5),
        "base": st.sampled_from((0, 1_000, 10_000_000)),
    }
)
OPTIONS = st.fixed_dictionaries(
    {
        "landmark_slot": st.sampled_from((None, 0, 1)),
        "softcap": st.sampled_from((None, 5.0)),
        "window": st.sampled_from((None, 1, 30)),
    }
)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(shape=SHAPES, options=OPTIONS)
def test_any_list(shape, options):
    made = case(**shape)
    wanted = attended(in_float64(made), impl="reference", **options)
    same(attended(made, impl="torch", **options), wanted, torch.float32)
