"""Indexes over real files, reopened as another process would open them."""

import logging

import pytest

from memagent.memory.index.vector_index import VectorIndex
from tests.index.truth import DIM, Truth, synced


@pytest.fixture
def truth():
    return Truth()


class Messages(logging.Handler):
    """Keeps the messages of the warnings that are logged."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


@pytest.fixture
def warnings():
    """The warnings logged so far."""
    messages = Messages()
    logger = logging.getLogger("memagent")
    logger.addHandler(messages)
    yield messages.lines
    logger.removeHandler(messages)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "index" / "1-minilm.faiss"


@pytest.fixture
def make(path):
    """Reopen the index, as another process would."""

    def index(**options):
        options = {"dim": DIM, "label": "the index of namespace work", **options}
        return VectorIndex(options.pop("path", path), **options)

    return index


@pytest.fixture
def stored(make, truth, path):
    """An index file on disk that the store knows of."""
    assert synced(make(), truth).save()
    truth.saved = True
    truth.asked.clear()
    return path
