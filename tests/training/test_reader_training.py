"""Training data of the reader, and its training command, killed and resumed."""

import gzip
import io
import json
import math
import random
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from memagent.engines.pocket.reader import Reader
from memagent.engines.pocket.weights import load_network
from memagent.engines.pocket.windows import load_tokenizer
from memagent.memory.index.embedder import Embedder
from memagent_bench.data.items import Item

ROOT = Path(__file__).parents[2]
CONFIG = """
[data]
cloze = 30
statements = 30
natural_copies = 1
copies = 1
unanswerable = 0.6
whole = 0.5

[train]
seed = 3
batch_tokens = 400
most_tokens = 96
learning_rate = 1e-4
warmup = 0.1
weight_decay = 0.01
dropout = 0.1
device = "cpu"
precision = "auto"
threads = 1
checkpoint_every = 2
evaluate_every = 50
"""
FACT = "The harbour of {town} was built in {year} by {name}, a mason, and has {n} piers."
TOWNS = ("Ostrava", "Lindholm", "Perrin", "Calder", "Mosul", "Tarn", "Vigo", "Elgin", "Brno")


def fact(number: int) -> str:
    values = {"town": TOWNS[number % 9], "year": 1800 + number, "name": f"Ada Frost {number}"}
    return FACT.format(**values, n=number + 2) + " Nobody knows why it was abandoned later."


def _tar(path: Path, files: dict[str, str]) -> None:
    with tarfile.open(path, "w:xz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small file of each question set, in its own format."""
    folder = tmp_path_factory.mktemp("sets")
    tales = {}
    for number in range(14):
        rows = (
            "question_id,local-or-sum,cor_section,question,answer1\n"
            f"1,local,1,Who built the harbour?,Ada Frost {number}\n"
            f"2,local,1,When was it built?,in the year {1800 + number}\n"
        )
        tales[f"q/questions/train/s{number}-questions.csv"] = rows
        tales[f"q/section-stories/train/s{number}-story.csv"] = (
            f'section,text\n1,"{fact(number)}"\n'
        )
    _tar(folder / "fairytaleqa-train-val.tar.xz", tales)
    utterances = [{"uid": 0, "speakers": ["Joey"], "utterance": "I ate the pizza ."}]
    answers = [{"utterance_id": 0, "inner_start": 2, "inner_end": 3, "is_speaker": False}]
    asked = [{"id": "1", "question": "What did Joey eat ?", "answers": answers}]
    scene = {"title": "s", "paragraphs": [{"utterances:": utterances, "qas": asked}]}
    _tar(folder / "friendsqa-dev.tar.xz", {"dat/friendsqa_dev.json": json.dumps({"data": [scene]})})
    with gzip.open(folder / "nq-open-oracle.jsonl.gz", "wt") as file:
        for number in range(20, 40):
            context = {"title": f"T{number}", "text": fact(number), "isgold": True}
            row = {
                "question": "who built the harbour",
                "answers": [f"Ada Frost {number}"],
                "ctxs": [context],
            }
            file.write(json.dumps(row) + "\n")
    hop = {"question": "Who built it?", "answer": "Ada Frost 50", "paragraph_support_idx": 0}
    chain = {"question": "#1 >> town", "answer": "Tarn", "paragraph_support_idx": 0}
    text = "Tarn. " + fact(50)
    musique = {
        "paragraphs": [{"paragraph_text": text}],
        "question": "Where is the builder from?",
        "answer": "Tarn",
        "question_decomposition": [hop, chain],
    }
    hotpot = {
        "supporting_facts": [["A", 0]],
        "context": [["A", [fact(60)]], ["B", ["Nothing."]]],
        "question": "Who built the harbour?",
        "answer": "Ada Frost 60",
    }
    _tar(
        folder / "hotpot-musique-100.tar.xz",
        {
            "hotpotqa_train.json": json.dumps([hotpot]),
            "musique_train.json": json.dumps([musique]),
            "hotpotqa_train_corpus.json": json.dumps({"A": [fact(60)], "B": [fact(61)]}),
            "musique_train_corpus.json": json.dumps([{"title": "C", "text": fact(50)}]),
        },
    )
    story = "1 Mary moved to the hall.\n2 John went to the bath.\n3 Where is Mary? \thall\t1\n"
    _tar(folder / "babi-en.tar.xz", {"t/en/qa1_x_train.txt": story, "t/en/qa7_x_train.txt": story})
    (folder / "reader.toml").write_text(CONFIG)
    return folder


def test_every_set_is_read_with_its_answers(training: SimpleNamespace, sets: Path) -> None:
    items = training.questions.read_sets(sets)
    by_source: dict[str, list[Item]] = {}
    for item in items:
        by_source.setdefault(item.source, []).append(item)
    counts = {name: len(found) for name, found in by_source.items()}
    assert counts == {
        "fairytaleqa": 28, "friendsqa": 1, "natural": 20, "hotpotqa": 1, "musique": 3, "babi": 1,
    }  # fmt: skip
    told = {
        name: [found[-1].passage[a:b] for a, b in found[-1].spans]
        for name, found in by_source.items()
    }
    assert told["friendsqa"] == ["the pizza"]
    assert told["babi"] == ["hall"]
    assert by_source["natural"][0].question == "Who built the harbour?"
    assert by_source["musique"][-1].question == "What is the town of Ada Frost 50?"
    # Not word for word in the text, but nearly.
    assert told["fairytaleqa"] == ["in 1809"]


def test_questions_made_by_rule_lack_their_answer(training: SimpleNamespace) -> None:
    texts = [fact(i) for i in range(20)]
    made = list(training.cloze.cloze_items(texts, 80, 1))
    assert made == list(training.cloze.cloze_items(texts, 80, 1))
    for item in made:
        ((start, end),) = item.spans
        answer = item.passage[start:end]
        assert answer
        assert answer not in item.question
        assert item.question.endswith("?")
    assert len({item.question.split()[0] for item in made}) >= 4
    for item, other in training.statements.statement_items(200, 1):
        ((start, end),) = item.spans
        assert item.passage[start:end] == item.answers[0] != ""
        assert not set("{}[]") & set(item.question + item.passage + other)
        assert other not in ("", item.passage)


def test_wrong_passages_hold_no_answer(training: SimpleNamespace) -> None:
    items = [item for item, _ in training.statements.statement_items(150, 2)]
    wrong = training.negatives.without_answer(items, [fact(i) for i in range(30)], 1, 2)
    assert sum(map(bool, wrong)) > 140
    for item, passages in zip(items, wrong, strict=True):
        for passage in passages:
            assert passage != item.passage
            assert not training.negatives.find_all(passage, item.answers[0])


def test_a_crop_keeps_an_answer_where_it_is(training: SimpleNamespace) -> None:
    passage = " ".join(fact(i) for i in range(8))
    start = passage.index("Ada Frost 5")
    span = (start, start + len("Ada Frost 5"))
    for seed in range(60):
        cropped, spans = training.lessons.crop(passage, (span,), random.Random(seed), 0.2)
        assert [cropped[a:b] for a, b in spans] == ["Ada Frost 5"]
        assert cropped in passage


def test_the_loss_counts_all_places_of_an_answer(training: SimpleNamespace) -> None:
    torch.manual_seed(1)
    logits = torch.randn(3, 2, 9, dtype=torch.float32, requires_grad=True)
    window = training.reader.Window(0, [0] * 9, 1, [])
    spans = ((), ((2, 3), (5, 5)), ((1, 1),))
    examples = [training.reader.Example(window, found) for found in spans]
    loss = training.reader.loss_of(logits, examples)
    start, end = logits.softmax(2).unbind(1)
    wanted = [
        start[0, 0] * end[0, 0],
        start[1, 2] * end[1, 3] + start[1, 5] * end[1, 5],
        start[2, 1] * end[2, 1],
    ]
    torch.testing.assert_close(loss, -torch.stack(wanted).log().mean())
    loss.backward()
    assert torch.isfinite(logits.grad).all()


def test_an_answer_keeps_its_words_as_tokens(training: SimpleNamespace, embedder: Embedder) -> None:
    tokenizer = load_tokenizer(embedder)
    passage = " ".join(fact(i) for i in range(9))
    span = (passage.index("Ada Frost 7"), passage.index("Ada Frost 7") + 11)
    lesson = training.lessons.Lesson("Who built it?", passage, (span,))
    example = training.reader.example_of(lesson, tokenizer, 96)
    ((first, last),) = example.spans
    offsets = example.window.offsets
    base = example.window.first
    assert passage[offsets[first - base][0] : offsets[last - base][1]] == "Ada Frost 7"
    wide = training.lessons.Lesson("Who?", passage, ((0, len(passage)),))
    assert training.reader.example_of(wide, tokenizer, 96) is None


def _start(sets: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "memagent_bench.training.reader"]
    command += ["--config", sets / "reader.toml", "--data", sets, "--out", out]
    return subprocess.Popen(command, cwd=ROOT, text=True, stderr=subprocess.PIPE)


def test_a_killed_run_resumes_to_the_weights_of_an_unbroken_one(
    sets: Path, tmp_path: Path, embedder: Embedder
) -> None:
    killed = _start(sets, tmp_path / "killed")
    checkpoint = tmp_path / "killed" / "checkpoint.pt"
    while not checkpoint.exists() and killed.poll() is None:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    _, errors = killed.communicate()
    assert killed.returncode == -signal.SIGKILL, errors
    resumed = _start(sets, tmp_path / "killed")
    _, said = resumed.communicate()
    assert resumed.returncode == 0, said
    assert "resumed at step" in said
    unbroken = _start(sets, tmp_path / "unbroken")
    _, said = unbroken.communicate()
    assert unbroken.returncode == 0, said
    exports = [tmp_path / name / "export" for name in ("killed", "unbroken")]
    for name in ("model.safetensors", "config.json"):
        assert (exports[0] / name).read_bytes() == (exports[1] / name).read_bytes()
    report = json.loads((tmp_path / "killed" / "report.json").read_text())
    assert report["curve"][-1]["step"] == report["steps"]
    assert 0 <= report["f1_alone"] <= 1
    network, calibration = load_network(exports[0], embedder)
    assert math.isfinite(calibration.slope)
    found = Reader.of(network, calibration, embedder).read("Who built it?", [fact(3)])
    assert len(found) == 1


def test_a_wrong_configuration_is_refused(sets: Path, tmp_path: Path) -> None:
    config = tmp_path / "reader.toml"
    config.write_text(CONFIG.replace("dropout", "drop_out"))
    command = [sys.executable, "-m", "memagent_bench.training.reader", "--config", config]
    command += ["--data", sets, "--out", tmp_path / "out"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "drop_out" in ended.stderr
    assert "Traceback" not in ended.stderr
