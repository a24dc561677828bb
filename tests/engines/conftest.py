"""A server on loopback, and engines attached to it that are closed at the end."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from memagent.engines.openai.engine import VllmEngine
from tests.engines.asking import Attach
from tests.engines.loopback import Loopback


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback(max_model_len=256) as running:
        yield running


@pytest.fixture
def attach() -> Iterator[Attach]:
    with ExitStack() as stack:

        def engine(url: str, **settings: Any) -> VllmEngine:
            return stack.enter_context(closing(VllmEngine(url, **settings)))

        yield engine
