"""One real vLLM server for the tests of this folder, and a short-lived one to be killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from memagent.engines.vllm import VllmEngine
from tests.vllm.serving import RealServer, make_model, start


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """A server whose model has a chat template."""
    folder = tmp_path_factory.mktemp("vllm")
    running = start(make_model(folder / "model", chat_template=True), folder / "server.log")
    yield running
    running.kill()


@pytest.fixture
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """A server whose model has no chat template, for one test that kills it."""
    folder = tmp_path_factory.mktemp("mortal")
    running = start(make_model(folder / "model", chat_template=False), folder / "server.log")
    yield running
    running.kill()


@pytest.fixture
def attach() -> Iterator[Callable[..., VllmEngine]]:
    """A connected engine, closed at the end."""
    with ExitStack() as stack:

        def engine(url: str, **settings: Any) -> VllmEngine:
            return stack.enter_context(closing(VllmEngine(url, **settings))).connect()

        yield engine
