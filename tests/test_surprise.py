"""The surprise of text by the bundled model, against stock Transformers."""

from contextlib import nullcontext
from pydoc_data.topics import topics

import numpy as np
import pytest
import torch

from memagent.models.bundled import pocket_lm
from memagent.scorers.local import ModelSurprise

LONG = "\n\n".join(topics[name] for name in ("if", "try", "with", "while", "for", "function"))[
    :6000
]
WIDTH, STEP = 512, 384


@pytest.fixture(scope="module")
def scorer() -> ModelSurprise:
    """The scorer over the bundled model; loaded once."""
    return ModelSurprise()


def stock(text: str) -> np.ndarray:
    """-log p by the model's own logits, a window at a time."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(pocket_lm(), dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(pocket_lm())
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert len(ids) > 3 * WIDTH
    found: list[float] = []
    for start in range(0, len(ids), STEP):
        window = [tokenizer.bos_token_id, *ids[start : start + WIDTH - 1]]
        with torch.no_grad():
            logits = model(torch.tensor([window])).logits[0]
        nats = -logits.log_softmax(-1)[range(len(window) - 1), window[1:]]
        found += nats[len(found) - start :].tolist()
    return np.array(found)


def test_surprise_equals_that_of_stock_transformers(
    scorer: ModelSurprise, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = stock(LONG)
    (fast,) = scorer.score([LONG])
    monkeypatch.setattr("memagent.scorers.local.fast_products", lambda device: nullcontext())
    (exact,) = scorer.score([LONG])
    np.testing.assert_allclose(exact.nats, expected, atol=2e-3)
    # In bfloat16, where the processor has it.
    assert np.abs(fast.nats - expected).mean() < 0.05
    assert abs((fast.nats - expected).mean()) < 0.01


def test_ranges_cover_the_text_in_order(scorer: ModelSurprise) -> None:
    text = LONG[:3000] + " Ünïcode, 漢字 and emoji 🛶 are text too."
    (found,) = scorer.score([text])
    assert found.offsets.shape == (len(found.nats), 2)
    assert (np.diff(found.offsets, axis=0) >= 0).all()
    assert (found.offsets[0, 0], found.offsets[-1, 1]) == (0, len(text))
    covered = np.zeros(len(text), dtype=bool)
    for start, end in found.offsets:
        covered[start:end] = True
    assert covered.all()


def test_a_text_gets_the_same_scores_alone_and_in_a_batch(scorer: ModelSurprise) -> None:
    texts = [LONG[:700], "Short.", LONG, LONG[900:4000]]
    together = scorer.score(texts)
    for text, found in zip(texts, together, strict=True):
        (alone,) = scorer.score([text])
        assert (alone.nats == found.nats).all()
        assert (alone.offsets == found.offsets).all()


@pytest.mark.parametrize(
    "text", ["", " ", "x", "…!?—*** \n\n ###", "x" * 5000, "█" * 100, "\x00\ufeff"]
)
def test_any_text_can_be_scored(scorer: ModelSurprise, text: str) -> None:
    (found,) = scorer.score([text])
    assert found.offsets.shape == (len(found.nats), 2)
    assert (found.nats.dtype, found.offsets.dtype) == (np.float32, np.int64)
    assert np.isfinite(found.nats).all()
    assert (found.nats >= 0).all()
    assert (len(found.nats) == 0) == (text == "")


def test_no_texts_give_no_surprise(scorer: ModelSurprise) -> None:
    assert scorer.score([]) == []


def test_shuffled_words_are_more_surprising(scorer: ModelSurprise) -> None:
    said = "It was a dark and stormy night, and the rain fell upon the roof of the house."
    words = said.split()
    mixed = " ".join(np.random.default_rng(0).permutation(words))
    plain, shuffled = scorer.score([said, mixed])
    assert shuffled.nats.mean() > plain.nats.mean() + 0.5


def test_creating_a_scorer_loads_no_model() -> None:
    new = ModelSurprise()
    assert new.id == ModelSurprise().id
    assert new.id.startswith("pocket-lm-")
    assert "_loaded" not in vars(new)
