"""Real vLLM servers for the tests of this folder, each started on first use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from memagent.engines.openai.engine import VllmEngine
from memagent.models.bundled import pocket_lm
from tests.vllm.serving import CONTEXT, POCKET_CONTEXT, RealServer, make_model, serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """A server whose model has a chat template."""
    folder = tmp_path_factory.mktemp("vllm")
    model = make_model(folder / "model", chat_template=True)
    with serving(model, folder, "--name", "toy", "--context", str(CONTEXT)) as running:
        yield running


@pytest.fixture(scope="session")
def pocket_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """The bundled language model, which has no chat template, at four times its own context."""
    state = tmp_path_factory.mktemp("pocket")
    with serving(pocket_lm(), state, "--context", str(POCKET_CONTEXT)) as running:
        yield running


@pytest.fixture
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """A server whose model has no chat template, for one test that kills it."""
    folder = tmp_path_factory.mktemp("mortal")
    model = make_model(folder / "model", chat_template=False)
    with serving(model, folder, "--name", "toy") as running:
        yield running


@pytest.fixture
def attach() -> Iterator[Callable[..., VllmEngine]]:
    """A connected engine, closed at the end."""
    with ExitStack() as stack:

        def engine(url: str, **settings: Any) -> VllmEngine:
            return stack.enter_context(closing(VllmEngine(url, **settings))).connect()

        yield engine
