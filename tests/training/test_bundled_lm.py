"""The bundled language models."""

import copy
import math
from pathlib import Path
from pydoc_data.topics import topics

import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from memagent.models.bundled import pocket_lm, pocket_lm_landmark
from memagent.streaming.config import StreamConfig
from memagent.streaming.stream import Stream
from memagent_bench.training import evaluate

ROOT = Path(__file__).parents[2]
LANDMARK = 2048
PARAGRAPH = (
    "The old man walked slowly down to the river, where the boats were tied to the bank. It had\n"
    "been raining all the morning, and the road was so deep in mud that he could hardly find his\n"
    "way. When he came to the house he knocked at the door, but there was no answer; and after he\n"
    "had waited for some time he sat down upon a stone and began to think of what he should say\n"
    "to his daughter, whom he had not seen for many years.\n"
)


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    """The bundled model in float32."""
    return LlamaForCausalLM.from_pretrained(pocket_lm(), dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def tokenizer() -> AutoTokenizer:
    """The bundled tokenizer."""
    return AutoTokenizer.from_pretrained(pocket_lm())


def _ids(tokenizer: AutoTokenizer, text: str) -> torch.Tensor:
    return torch.tensor([[tokenizer.bos_token_id, *tokenizer(text).input_ids]])


@pytest.mark.parametrize(
    "text",
    [
        PARAGRAPH,
        "  two spaces , a space before a comma , tabs\tand\r\nreturns \n\n\n and an end ",
        "naïve — “quoted” 日本語 🜚 and 1234567890",
        "",
    ],
)
def test_text_survives_the_tokenizer(tokenizer: AutoTokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_digits_are_never_merged(tokenizer: AutoTokenizer) -> None:
    assert tokenizer.tokenize("48213")[-5:] == ["4", "8", "2", "1", "3"]


@torch.inference_mode()
def test_english_is_far_likelier_than_chance(
    model: LlamaForCausalLM, tokenizer: AutoTokenizer
) -> None:
    ids = _ids(tokenizer, PARAGRAPH)
    loss = model(ids, labels=ids).loss.item()
    assert loss < 0.55 * math.log(len(tokenizer))


@torch.inference_mode()
def test_a_passage_read_again_is_copied(model: LlamaForCausalLM, tokenizer: AutoTokenizer) -> None:
    passage = PARAGRAPH[:180]
    start = 40
    ids = _ids(tokenizer, f"{PARAGRAPH}\n{passage[:start]}")
    expected = passage[start:]
    count = len(tokenizer(expected).input_ids)
    made = model.generate(ids, max_new_tokens=count, do_sample=False)
    assert tokenizer.decode(made[0, ids.shape[1] :])[:80] == expected[:80]


@torch.inference_mode()
def test_a_pass_key_is_returned(model: LlamaForCausalLM, tokenizer: AutoTokenizer) -> None:
    needle = "The pass key is 48213. Remember it. 48213 is the pass key."
    prompt = f"{PARAGRAPH}\n{needle}\n\n{PARAGRAPH}\nWhat is the pass key? The pass key is"
    ids = _ids(tokenizer, prompt)
    made = model.generate(ids, max_new_tokens=6, do_sample=False)
    assert tokenizer.decode(made[0, ids.shape[1] :]) == " 48213"


@pytest.fixture(scope="module")
def marked() -> LlamaForCausalLM:
    """The bundled model that knows landmarks, in float32; its other tokens are those of the plain
    one."""
    assert AutoTokenizer.from_pretrained(pocket_lm_landmark()).landmark_token_id == LANDMARK
    return LlamaForCausalLM.from_pretrained(pocket_lm_landmark(), dtype=torch.float32).eval()


def _landmarks() -> StreamConfig:
    """Of eight blocks."""
    return StreamConfig(
        page=64, sinks=0, window=64, budget=448, chunk=64, refresh=16, selector="landmark",
        landmark=LANDMARK,
    )  # fmt: skip


def test_the_training_reads_landmarks_as_a_stream_does(
    marked: LlamaForCausalLM, tokenizer: AutoTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = _ids(tokenizer, PARAGRAPH * 4)[:, :380]
    wanted = evaluate.Reader(copy.deepcopy(marked), LANDMARK).logits(ids)
    stream = Stream(copy.deepcopy(marked), _landmarks())
    for end in (*range(120, 132), 378, 379, 380):  # the last of a block and the first of the next
        stream.read(ids[:, stream.length - stream.length // 64 : end])
        torch.testing.assert_close(stream.logits, wanted[:, end - 1], atol=1e-3, rtol=0)


@torch.inference_mode()
def test_plain_text_never_asks_for_a_landmark(
    marked: LlamaForCausalLM, tokenizer: AutoTokenizer
) -> None:
    share = marked(_ids(tokenizer, PARAGRAPH)).logits.softmax(-1)
    assert share[..., LANDMARK].max() < 0.01


def test_a_pass_key_is_found_by_landmarks_far_beyond_the_context(
    marked: LlamaForCausalLM, tokenizer: AutoTokenizer
) -> None:
    reference = " ".join(topics.values())
    filler = tokenizer(reference[:60_000], verbose=False).input_ids[:3000]
    keys = ("48213", "90567", "13846")
    question = tokenizer("\nWhat is the pass key? The pass key is").input_ids
    rows = []
    for key, place in zip(keys, (300, 1500, 2500), strict=True):
        hidden = tokenizer(f"\nThe pass key is {key}. Remember it. {key} is the pass key.\n")
        text = [*filler[:place], *hidden.input_ids, *filler[place:]]
        rows.append([tokenizer.bos_token_id, *text])
    stream = Stream(copy.deepcopy(marked), _landmarks(), rows=len(keys))
    stream.read(torch.tensor(rows))
    stream.read(torch.tensor([question] * len(keys)))
    said = []
    for _ in range(6):
        said.append(stream.logits.argmax(-1))
        stream.read(said[-1][:, None])
        for chosen in stream.view.chosen.values():
            assert chosen.page.shape[-1] <= 7
    assert tokenizer.batch_decode(torch.stack(said, 1)) == [f" {key}" for key in keys]
