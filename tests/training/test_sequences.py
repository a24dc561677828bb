"""Training batches with landmarks, and that the rest of a step is deterministic."""

from types import SimpleNamespace

import numpy as np
import pytest
from tokenizers import Tokenizer

from memagent.models.bundled import pocket_lm


@pytest.fixture(scope="module")
def sampler(training: SimpleNamespace):
    """A sampler with the bundled tokenizer and a landmark, over made tokens."""
    tokenizer = Tokenizer.from_file(str(pocket_lm() / "tokenizer.json"))
    tokenizer.add_special_tokens([training.data.LANDMARK])
    corpus = np.random.default_rng(0).integers(2, 2000, 5000).astype(np.uint16)
    return training.sequences.Sampler(corpus, tokenizer, seed=5, answer_weight=4.0)


@pytest.fixture
def phase(training: SimpleNamespace):
    """A phase with half of the sequences read with landmarks."""
    return training.settings.Phase(
        until=1.0, context=256, repeat=0.2, random=0.2, passkey=0.3, pairs=0.2, landmark=0.5,
        keys=2, tail=40,
    )  # fmt: skip


def test_a_landmark_closes_every_block_and_is_never_asked_for(sampler, phase) -> None:
    for step in range(20):
        plain, marked = sampler.batches(step, 2048, phase)
        assert plain.ids.shape == marked.ids.shape == (4, 256)
        assert not plain.landmark
        assert marked.landmark
        assert (plain.ids != sampler.landmark).all()
        closing = np.arange(256) % 64 == 63
        assert ((marked.ids == sampler.landmark) == closing).all()
        assert (marked.weights[:, closing] == 0).all()
        assert (marked.weights[:, ~closing] >= 1).all()
        assert (plain.weights >= 1).all()


def test_blocks_stay_whole_with_one_gap_at_most(sampler, phase) -> None:
    gaps = []
    for step in range(20):
        _, marked = sampler.batches(step, 2048, phase)
        moved = marked.positions - np.arange(256)
        assert (moved.reshape(4, 4, 64) == moved.reshape(4, 4, 64)[..., :1]).all()
        assert (moved[:, :64] == 0).all()
        gaps += moved[:, -1].tolist()
    assert set(gaps) == {0, 64}


def test_far_blocks_stand_where_a_stream_recalls_them_to(training, sampler) -> None:
    phase = training.settings.Phase(
        until=1.0, context=256, repeat=0.2, random=0.1, passkey=0.4, pairs=0.2, landmark=0.5,
        keys=6, far=2,
    )  # fmt: skip
    for step in range(10):
        plain, marked = sampler.batches(step, 2048, phase)
        assert plain.ids.shape == (4, 256)
        assert marked.ids.shape == marked.positions.shape == (2, 512)
        places = marked.positions.reshape(2, 8, 64)
        assert (places == places[:, :1]).all()
        last = places[:, 0, :1]
        assert np.isin(last, (192, 256)).all()
        # Behind the block before the one that reads, at whole blocks from 0 on.
        assert (marked.far + last >= 0).all()
        assert (marked.far <= -128).all()
        assert (marked.far % 64 == 0).all()


def test_some_sequences_with_landmarks_have_no_beginning(sampler, phase) -> None:
    firsts = np.concatenate([sampler.batches(n, 2048, phase)[1].ids[:, 0] for n in range(20)])
    assert 0.2 < (firsts == sampler.bos).mean() < 0.8


def test_a_step_draws_the_same_again(sampler, phase) -> None:
    for first, second in zip(
        sampler.batches(3, 2048, phase), sampler.batches(3, 2048, phase), strict=True
    ):
        assert (first.ids == second.ids).all()
        assert (first.positions == second.positions).all()


def test_every_answer_is_weighed_where_it_stands(training, sampler) -> None:
    only = training.settings.Phase(
        until=1.0, context=512, repeat=0, random=0, passkey=1.0, pairs=0, landmark=0.5, keys=3,
        tail=60,
    )  # fmt: skip
    most = []
    for batch in sampler.batches(0, 8192, only):
        for ids, weights in zip(batch.ids, batch.weights, strict=True):
            asked = sampler.tokenizer.decode(ids[weights > 1].tolist())
            answers = [answer for answer in asked.split(".") if answer]
            assert all(answer[0] == " " and answer.strip().isdigit() for answer in answers)
            most.append((len(answers), batch.landmark))
    # Several keys are asked for with landmarks, one without.
    assert {count for count, marked in most if not marked} == {1}
    assert max(count for count, marked in most if marked) > 1


def test_places_are_those_of_the_text(training) -> None:
    blocks = training.blocks
    text = np.arange(200).reshape(1, -1)
    closed = blocks.close_blocks(text, 999)
    assert closed.shape == (1, 203)
    assert (closed[0, blocks.places(200)] == text[0]).all()
    assert (closed[0, 63::64] == 999).all()
    assert blocks.room(512) == 504
    with pytest.raises(ValueError, match="whole blocks"):
        blocks.room(500)
