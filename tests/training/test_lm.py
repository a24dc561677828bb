"""The training command, killed and resumed, and the model that it made and the package bundles."""

import copy
import importlib
import importlib.util
import json
import lzma
import math
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from pydoc_data.topics import topics

import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from memagent.models.bundled import pocket_lm, pocket_lm_landmark
from memagent.streaming.config import StreamConfig
from memagent.streaming.stream import Stream

ROOT = Path(__file__).parents[2]
LANDMARK = 2048
CONFIG = """
[data]
vocab_size = 300
tokenizer_chars_per_book = 0
chars_per_book = 0

[model]
hidden_size = 24
intermediate_size = 32
num_hidden_layers = 2
num_attention_heads = 2
num_key_value_heads = 2
head_dim = 8
max_position_embeddings = 512
rope_theta = 10000.0

[train]
seed = 3
steps = 120
batch_tokens = 768
learning_rate = 4e-3
warmup_steps = 4
weight_decay = 0.1
answer_weight = 4.0
device = "cpu"
precision = "auto"
threads = 1
checkpoint_every = 10
evaluate_every = 100

[[phase]]
until = 0.5
context = 128
repeat = 0.3
random = 0.2
passkey = 0.2
pairs = 0.2

[[phase]]
until = 1.0
context = 192
repeat = 0.2
random = 0.1
passkey = 0.2
pairs = 0.2
"""
CHOICE = """
[choice]
layer = 1
weight = 0.2
blocks = 16
"""
PARAGRAPH = (
    "The old man walked slowly down to the river, where the boats were tied to the bank. It had\n"
    "been raining all the morning, and the road was so deep in mud that he could hardly find his\n"
    "way. When he came to the house he knocked at the door, but there was no answer; and after he\n"
    "had waited for some time he sat down upon a stone and began to think of what he should say\n"
    "to his daughter, whom he had not seen for many years.\n"
)


def _book(seed: int) -> str:
    draw = random.Random(seed)
    words = ["stone", "river", "walked", "the", "a", "of", "house", "and", "morning", "was"]
    return " ".join(draw.choice(words) for _ in range(2_500))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration and a few made books."""
    folder = tmp_path_factory.mktemp("lm")
    (folder / "lm.toml").write_text(CONFIG)
    (folder / "books").mkdir()
    for name, seeds in {"train-0": range(4), "val": range(4, 6)}.items():
        with lzma.open(folder / "books" / f"{name}.jsonl.xz", "wt", encoding="utf-8") as file:
            for seed in seeds:
                file.write(json.dumps({"title": str(seed), "text": _book(seed)}) + "\n")
    return folder


def _start(
    made: Path, out: str, *others: str | Path, config: str = "lm.toml"
) -> subprocess.Popen[str]:
    command = [sys.executable, "training/lm.py", "--config", made / config, *others]
    command += ["--books", made / "books", "--out", made / out]
    return subprocess.Popen(command, cwd=ROOT, text=True, stderr=subprocess.PIPE)


def _killed_and_resumed(made: Path, name: str, *others: str | Path, config: str = "lm.toml") -> int:
    """The step at which a run stopped that was begun a second time; an unbroken one lies beside
    it, and their weights are the same."""
    unbroken = _start(made, name, *others, config=config)
    killed = _start(made, f"{name}-killed", *others, config=config)
    checkpoint = made / f"{name}-killed" / "checkpoint.pt"
    while not checkpoint.exists() and killed.poll() is None:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    stopped: int = torch.load(checkpoint, weights_only=True)["step"]
    resumed = _start(made, f"{name}-killed", *others, config=config)
    _, said = resumed.communicate()
    assert resumed.returncode == 0, said
    assert f"resumed at step {stopped}" in said
    _, said = unbroken.communicate()
    assert unbroken.returncode == 0, said
    weights = [made / out / "export" / "model.safetensors" for out in (name, f"{name}-killed")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    return stopped


@pytest.fixture(scope="module")
def first(made: Path) -> Path:
    """The export of a first stage."""
    assert 0 < _killed_and_resumed(made, "first") < 120
    return made / "first" / "export"


def test_a_killed_run_resumes_to_the_weights_of_an_unbroken_one(made: Path, first: Path) -> None:
    assert first.is_dir()
    report = json.loads((made / "first-killed" / "report.json").read_text())
    assert report["steps"] == 120
    assert report["tokens"] == 120 * 768
    # Ten words drawn at random: far below the eight bits of a byte, and above nothing.
    assert 0 < report["bits_per_byte"] < 3
    LlamaForCausalLM.from_pretrained(made / "first-killed" / "export", dtype=torch.float32)


def test_a_second_stage_goes_on_from_the_first_and_learns_landmarks(
    made: Path, first: Path
) -> None:
    landmarks = CONFIG.replace("steps = 120", "steps = 40").replace("4e-3", "1e-3")
    landmarks = landmarks.replace("evaluate_every = 100", "evaluate_every = 20")
    landmarks = landmarks.replace("context =", "landmark = 0.5\ncontext =")
    landmarks = landmarks.replace("context = 192", "far = 2\ncontext = 192") + CHOICE
    (made / "landmark.toml").write_text(landmarks)
    assert 0 < _killed_and_resumed(made, "second", "--start", first, config="landmark.toml") < 40
    reports = [json.loads((made / n / "report.json").read_text()) for n in ("first", "second")]
    # Trained on, not anew: below what 40 steps from nothing would come to.
    assert reports[1]["bits_per_byte"] < reports[0]["bits_per_byte"] + 0.1
    assert 0 < reports[1]["landmark"]["bits_per_byte"] < 3
    # Asked for in the second phase alone, among up to 16 blocks and those of the sequence.
    first_half, second_half = reports[1]["curve"]
    assert "choice" not in first_half
    assert 0 < second_half["choice"] < 2 * math.log(16 + 6)
    model = LlamaForCausalLM.from_pretrained(made / "second" / "export", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(made / "second" / "export")
    assert tokenizer.landmark_token_id == model.config.vocab_size - 1 == len(tokenizer) - 1
    assert model.config.vocab_size == 1 + len(AutoTokenizer.from_pretrained(first))

    other = landmarks.replace("intermediate_size = 32", "intermediate_size = 48")
    (made / "other.toml").write_text(other)
    refused = _start(made, "third", "--start", first, config="other.toml")
    _, said = refused.communicate()
    assert refused.returncode == 1
    assert "has another shape" in said


def test_a_wrong_configuration_is_refused(made: Path, tmp_path: Path) -> None:
    config = tmp_path / "lm.toml"
    config.write_text(CONFIG.replace("until = 1.0", "until = 0.9"))
    command = [sys.executable, "training/lm.py", "--config", config]
    command += ["--books", made / "books", "--out", tmp_path / "out"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "the last must end at 1.0" in ended.stderr
    assert "Traceback" not in ended.stderr


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
    monkeypatch.syspath_prepend(ROOT / "training")
    evaluate = importlib.import_module("evaluate")
    ids = _ids(tokenizer, PARAGRAPH * 4)[:, :380]
    wanted = evaluate.Reader(copy.deepcopy(marked), LANDMARK).logits(ids)
    stream = Stream(copy.deepcopy(marked), _landmarks())
    for end in (*range(120, 132), 378, 379, 380):  # the last of a block and the first of the next
        stream.read(ids[:, stream.length - stream.length // 64 : end])
        torch.testing.assert_close(stream.logits, wanted[:, end - 1], atol=1e-3, rtol=0)
    for name in ("evaluate", "grouped", "blocks", "data", "sequences", "settings"):
        sys.modules.pop(name, None)


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
