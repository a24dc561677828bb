"""The span reader with its shipped weights, over stored texts."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from memagent.engines.pocket.nearest_sentences import Nearest
from memagent.engines.pocket.network import best_spans
from memagent.engines.pocket.reader import Found, Reader
from memagent.engines.pocket.windows import load_tokenizer, windows
from memagent.errors import MemagentError
from memagent.memory.index.embedder import Embedder
from memagent.models.bundled import pocket_reader

GATE = "We met at the station. The gate code is 4711. It rained all day."
FALCON = "Project Falcon was delayed because the supplier was late. Mei leads it since Monday."
CITY = "Dr. Okafor, my sister's dentist, moved from Leeds to Porto in 2019."


@pytest.fixture(scope="module")
def reader(embedder: Embedder) -> Reader:
    return Reader(embedder=embedder)


def said(found: Found, texts: list[str]) -> str:
    return texts[found.text][found.start : found.end]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the gate code?", "4711"),
        ("Why was Falcon delayed?", "the supplier was late"),
        ("Who leads project Falcon?", "Mei"),
        ("When did the dentist move to Porto?", "2019"),
    ],
)
def test_the_span_that_answers_comes_first(reader: Reader, question: str, answer: str) -> None:
    texts = [CITY, GATE, FALCON]
    best = reader.read(question, texts)[0]
    assert answer in said(best, texts)
    assert len(said(best, texts)) <= len(answer) + 20
    assert reader.answers(best)
    assert 0.0 <= best.confidence <= 1.0


def test_questions_that_no_text_answers_are_recognised(reader: Reader) -> None:
    found = reader.read("Which opera did Verdi write first?", [CITY, GATE, FALCON])
    assert len(found) == 3
    assert not any(map(reader.answers, found))
    assert [f.score for f in found] == sorted((f.score for f in found), reverse=True)


def test_texts_do_not_influence_one_another(reader: Reader) -> None:
    """Padding and batching change nothing but the rounding."""
    question, texts = "What is the gate code?", [GATE, FALCON * 20, "", CITY, "Yes."]
    together = {f.text: f for f in reader.read(question, texts)}
    assert set(together) == {0, 1, 3, 4}
    for place, found in together.items():
        (alone,) = reader.read(question, [texts[place]])
        assert (alone.start, alone.end) == (found.start, found.end)
        assert alone.score == pytest.approx(found.score, abs=0.25)


def test_a_long_text_is_read_to_its_end(reader: Reader) -> None:
    filler = "The afternoon was grey and nobody spoke of the harbour. "
    text = filler * 120 + GATE + filler * 60
    best = reader.read("What is the gate code?", [text])[0]
    assert text[best.start : best.end].strip(".") == "4711"
    assert best.start > len(filler) * 120


def test_several_spans_of_a_text_differ(reader: Reader) -> None:
    found = reader.read("Who leads Falcon?", [FALCON], per_text=3)
    assert len({(f.start, f.end) for f in found}) == len(found) == 3


@pytest.mark.parametrize("question", ["", "?", "what " * 400, "😀", "\x00"])
def test_odd_questions_and_texts_are_read(reader: Reader, question: str) -> None:
    texts = ["", " \n", "…", "naïve — 日本語 🜚 and 12", "x" * 9000, GATE]
    for found in reader.read(question, texts):
        assert 0 <= found.start < found.end <= len(texts[found.text])


def test_threads_share_one_reader(embedder: Embedder) -> None:
    reader = Reader(embedder=embedder)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: reader.read("What is the code?", [GATE]), range(8)))
    assert all(one == found[0] for one in found)


def test_windows_hold_every_token_and_the_question(embedder: Embedder) -> None:
    tokenizer = load_tokenizer(embedder)
    text = " ".join(f"word{i}" for i in range(300))
    parts = list(windows(tokenizer, "Which word?", [text, "short"], 128))
    covered = {place for part in parts if part.text == 0 for place in part.offsets}
    code = tokenizer.encode(text, add_special_tokens=False)
    assert covered == set(code.offsets)
    assert max(len(part.ids) for part in parts) == 128
    head = parts[0].ids[: parts[0].first]
    assert all(part.ids[: part.first] == head for part in parts)
    assert [part.text for part in parts][-1] == 1


def test_best_spans_are_those_of_a_plain_search() -> None:
    random = torch.Generator().manual_seed(3)
    logits = torch.randn(4, 2, 17, generator=random)
    logits[:, :, 1:5] = float("-inf")  # the question
    scores, firsts, lasts = best_spans(logits, most=5, count=3)
    for row in range(4):
        start, end = logits[row]
        wanted = sorted(
            (
                (float(start[a] + end[b] - start[0] - end[0]) - 0.04 * (b - a), a, b)
                for a in range(5, 17)
                for b in range(a, min(a + 5, 17))
            ),
            reverse=True,
        )[:3]
        got = list(
            zip(scores[row].tolist(), firsts[row].tolist(), lasts[row].tolist(), strict=True)
        )
        for (score, *place), (expected, *other) in zip(got, wanted, strict=True):
            assert place == other
            assert score == pytest.approx(expected, abs=1e-5)


def test_weights_for_another_encoder_or_damaged_ones_are_refused(
    tmp_path: Path, embedder: Embedder
) -> None:
    with pytest.raises(MemagentError, match="cannot be loaded"):
        Reader(tmp_path, embedder).read("Who?", [GATE])
    folder = tmp_path / "copy"
    shutil.copytree(pocket_reader(), folder)
    config = folder / "config.json"
    config.write_text(config.read_text().replace(embedder.id, "minilm-000000000000"))
    with pytest.raises(MemagentError, match="trained on the encoder minilm-000000000000"):
        Reader(folder, embedder).read("Who?", [GATE])
    config.write_text(config.read_text().replace("minilm-000000000000", embedder.id))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(MemagentError, match="cannot be loaded"):
        Reader(folder, embedder).read("Who?", [GATE])


def test_the_weights_are_small() -> None:
    size = sum(path.stat().st_size for path in pocket_reader().iterdir())
    assert size <= 25_000_000


def test_the_nearest_sentence(embedder: Embedder) -> None:
    nearest = Nearest(embedder)
    texts = [CITY, GATE, FALCON]
    ranked = nearest.rank("What is the gate code?", texts)
    best = ranked[0]
    assert texts[best.text][best.start : best.end] == "The gate code is 4711."
    assert len(ranked) == 6
    assert nearest.worth_quoting(ranked)[0] == ranked[0]
    assert nearest.worth_quoting([]) == []
    assert nearest.rank("Who?", ["", "—"]) == []
    kept = nearest.rank("What is the gate code?", texts, lambda text, _: text == 1)
    assert {s.text for s in kept} == {0, 2}
