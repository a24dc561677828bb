"""Token vectors in a few bytes: the accuracy of the codes, and search by meaning with them."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from memagent.memory.index.embedder import Embedder
from memagent.memory.index.token_codes import TokenCodes
from memagent.memory.namespace import Namespace
from memagent.memory.store.database import Store

TEXTS = (
    "Her brother plays the oboe in an orchestra.",
    "The ferry to the island leaves at noon.",
    "…",
    "They grow potatoes and leeks behind the mill.",
)


@pytest.fixture(scope="module")
def codes(embedder: Embedder) -> TokenCodes:
    found = TokenCodes.load(embedder.id)
    assert found is not None
    return found


def test_reading_gives_the_vectors_of_encoding_and_those_of_all_tokens(embedder: Embedder) -> None:
    read = embedder.read(TEXTS)
    np.testing.assert_allclose(
        np.stack([each.vector for each in read]), embedder.encode(TEXTS), atol=1e-6
    )
    tokenizer = embedder.load().tokenizer
    for text, each in zip(TEXTS, read, strict=True):
        assert each.ids.tolist() == tokenizer(text)["input_ids"]
        assert each.tokens.shape == (len(each.ids), embedder.dim)
        np.testing.assert_allclose(np.linalg.norm(each.tokens, axis=1), 1, atol=1e-5)
    assert embedder.read([]) == []


def test_a_token_of_content_takes_eight_bytes(embedder: Embedder, codes: TokenCodes) -> None:
    lengths = [len(codes.pack(each.ids, each.tokens)) for each in embedder.read(TEXTS)]
    # brother plays oboe orchestra (in three pieces or less), …; marks and function words take none
    assert lengths[2] == 0
    assert all(length % 8 == 0 for length in lengths)
    assert 3 * 8 <= lengths[0] <= 6 * 8


def test_a_code_is_near_the_vector_it_encodes(embedder: Embedder, codes: TokenCodes) -> None:
    (read,) = embedder.read([" ".join(TEXTS)])
    short = codes.project(read.ids, read.tokens)
    ids = read.ids[codes.content[read.ids]]
    tokens = read.tokens[codes.content[read.ids]]
    packed = [codes.pack(ids[n : n + 1], tokens[n : n + 1]) for n in range(len(ids))]
    similarity = codes.max_similarity(short, packed)
    assert np.diagonal(similarity).mean() > 0.65
    assert (similarity.argmax(1) == np.arange(len(ids))).mean() > 0.8


def test_each_token_of_a_question_is_matched_with_the_nearest_of_a_text(
    embedder: Embedder, codes: TokenCodes
) -> None:
    packed = [codes.pack(each.ids, each.tokens) for each in embedder.read(TEXTS)]
    (asked,) = embedder.read(["Which vegetables?"])
    similarity = codes.max_similarity(codes.project(asked.ids, asked.tokens), [*packed, None])
    assert similarity.shape[1] == 5
    assert np.isnan(similarity[:, [2, 4]]).all()
    assert np.nanargmax(similarity[0]) == 3


def test_texts_without_codes_have_no_similarity(codes: TokenCodes) -> None:
    assert np.isnan(codes.max_similarity(np.ones((2, 64), np.float32), [None, b""])).all()
    assert codes.max_similarity(np.ones((0, 64), np.float32), [b"12345678"]).shape == (0, 1)


def test_another_embedder_has_no_token_codes(
    store: Store, embedder: Embedder, tmp_path: Path
) -> None:
    copy = tmp_path / "other-model"
    shutil.copytree(embedder.folder, copy)
    other = Embedder(str(copy))
    assert TokenCodes.load(other.id) is None
    memory = Namespace(store, "default", other, tmp_path / "index")
    session = memory.sources.session("talk")
    for text in TEXTS:
        memory.spans.append_turn(session.id, "user", text)
    assert memory.recall("Which vegetables?", budget=500).best[0].event.text == TEXTS[3]
    assert [row["tokens"] for row in store.rows("SELECT tokens FROM vectors")] == [None] * 3


def test_events_of_an_older_store_are_found_without_codes(memory: Namespace) -> None:
    session = memory.sources.session("talk")
    for text in TEXTS:
        memory.spans.append_turn(session.id, "user", text)
    memory.catch_up()
    with memory.store.write() as db:
        db.execute("UPDATE vectors SET tokens = NULL WHERE event_id % 2 = 1")
    assert memory.recall("Which vegetables?", budget=500).best[0].event.text == TEXTS[3]
    assert memory.recall("the boat", budget=500).best[0].event.text == TEXTS[1]
