"""Indexes over real files, opened anew as another process would open them."""

import pytest

from memagent.memory.index.vector_index import VectorIndex
from tests.index.truth import DIM, Truth, synced


@pytest.fixture
def truth():
    return Truth()


@pytest.fixture
def warnings():
    return []


@pytest.fixture
def path(tmp_path):
    return tmp_path / "index" / "1-minilm.faiss"


@pytest.fixture
def make(path, warnings):
    """Open the index anew, as another process would."""

    def index(**options):
        options = {"dim": DIM, "label": "the index of namespace work", **options}
        return VectorIndex(options.pop("path", path), on_warning=warnings.append, **options)

    return index


@pytest.fixture
def stored(make, truth, path):
    """An index file on disk that the store knows of."""
    assert synced(make(), truth).save()
    truth.saved = True
    truth.asked.clear()
    return path
