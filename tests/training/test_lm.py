"""The training command of the language models, killed and resumed, in one stage and in two."""

import json
import lzma
import math
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM

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
    command = [sys.executable, "-m", "memagent_bench.training.lm", *others]
    command += ["--config", made / config, "--books", made / "books", "--out", made / out]
    return subprocess.Popen(command, cwd=ROOT, text=True, stderr=subprocess.PIPE)


def _killed_and_resumed(made: Path, name: str, *others: str | Path, config: str = "lm.toml") -> int:
    """The step at which a run stopped that was begun a second time; an uninterrupted one is next to
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
    # Training continued: the loss is below that of 40 steps from scratch.
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
    command = [sys.executable, "-m", "memagent_bench.training.lm", "--config", config]
    command += ["--config", made / config, "--books", made / "books", "--out", tmp_path / "out"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "the last must end at 1.0" in ended.stderr
    assert "Traceback" not in ended.stderr
