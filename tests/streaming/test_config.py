"""Valid and invalid stream configurations."""

from typing import Any

import pytest

from memagent.errors import UsageError
from memagent.streaming.config import StreamConfig


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"page": 1}, "page must be at least 2"),
        ({"sinks": -1}, "sinks must fit into one page"),
        ({"sinks": 17, "page": 16}, "sinks must fit into one page of 16"),
        ({"window": 0}, "window must be at least 1"),
        ({"budget": -1}, "budget must not be negative"),
        ({"contiguity": 1.0}, "contiguity must be in"),
        ({"contiguity": -0.1}, "contiguity must be in"),
        ({"refresh": 0}, "refresh must be at least 1"),
        ({"chunk": 0}, "chunk must be at least 1"),
        ({"selector": "best"}, "selector must be one of landmark, mean"),
        ({"positions": "clamped"}, "positions must be compact"),
        ({"hot_pages": 3}, "hot_pages must be at least"),
        ({"selector": "mean", "landmark": 5, "sinks": 0}, "needs the selector landmark"),
        ({"selector": "landmark", "landmark": 5}, "set sinks to 0"),
        ({"selector": "landmark", "sinks": 0}, "needs the id of the landmark token"),
    ],
)
def test_invalid_sizes_are_refused_in_one_line(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        StreamConfig(**sizes)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("stream: ")


def test_as_many_hot_pages_as_one_step_touches_are_enough() -> None:
    least = StreamConfig().least_pages
    assert StreamConfig(hot_pages=least).hot_pages == least
    with pytest.raises(UsageError, match=f"at least {least}"):
        StreamConfig(hot_pages=least - 1)
