"""The stream benchmark on small texts with the real model, and its errors."""

import json
from pathlib import Path

import jsonschema
import pytest
import torch

import memagent_bench
from memagent.errors import InputError
from memagent.models.bundled import pocket_lm
from memagent_bench.report import CheckError, save
from memagent_bench.stream import again, measure, passkey, setup, timing
from tests.conftest import Run

SCHEMA = Path(memagent_bench.__file__).parent / "schemas" / "bench.json"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ways of reading, and a small model to time."""
    for module in (again, passkey):
        monkeypatch.setattr(module, "SELECTORS", ("recent", "representative"))
    monkeypatch.setattr(measure, "SELECTORS", ("recent", "representative"))
    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2}
    monkeypatch.setattr(timing, "SHAPE", {**timing.SHAPE, **sizes})


@pytest.mark.usefixtures("small")
def test_the_report_has_its_figures_and_pictures(tmp_path: Path) -> None:
    report = measure.measure(limit=2048)
    path = save(report.as_object(), tmp_path)
    value = json.loads(path.read_text())
    jsonschema.validate(value, json.loads(SCHEMA.read_text()))
    figures = value["metrics"]
    assert 0 < figures["bits_per_byte"] < 8
    assert figures["perplexity@2048"] == figures["perplexity_sinks_window"]
    # What left the window is new again without recall, and known with it.
    assert figures["again_representative@1024"] < figures["again_recent@1024"] - 0.5
    assert figures["passkey@1024"] > figures["passkey_recent@1024"]
    assert figures["passkey_landmark@2048"] > figures["passkey_recent@2048"]
    assert figures["landmark_blocks"] == 8
    asked = [row for row in value["rows"] if row["measure"] == "passkey"]
    assert {row["selector"] for row in asked} == {"recent", "representative", "landmark"}
    assert all(("blocks" in row) == (row["selector"] == "landmark") for row in asked)
    assert {"ms_per_token@1024", "dense_ms_per_token@1024", "time_growth"} <= figures.keys()
    drawn = measure.plot(report, tmp_path)
    assert [picture.read_bytes()[:4] for picture in drawn] == [b"\x89PNG"] * 4


def test_a_stream_with_other_logits_than_the_model_stops_the_bench(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from memagent.streaming import layers

    rotate = layers.rotate
    monkeypatch.setattr(layers, "rotate", lambda x, place, f: rotate(x, place + place % 2, f))
    with pytest.raises(CheckError, match="logits are off"):
        setup.load(pocket_lm())


def test_texts_are_read_in_each_form_or_refused(tmp_path: Path) -> None:
    import lzma

    subject = setup.load(pocket_lm())
    line = json.dumps({"title": "One", "text": "It was a dark and stormy night. " * 1500})
    plain, packed = tmp_path / "books.jsonl", tmp_path / "books.jsonl.xz"
    plain.write_text(line)
    packed.write_bytes(lzma.compress(line.encode()))
    for path in (plain, packed):
        title, ids, about = setup.book(path, subject, 5000)
        assert (title, ids.shape, about["file"]) == ("One", (1, 5000), path.name)
    packed.write_bytes(b"no archive")
    with pytest.raises(InputError, match="choose --data"):
        setup.book(packed, subject, 5000)
    short = tmp_path / "short.txt"
    short.write_text("A few words.")
    with pytest.raises(InputError, match="choose another --data"):
        setup.book(short, subject, 5000)


def test_tokens_are_judged_once_each_in_the_models_own_window() -> None:
    from memagent_bench.stream.along import own_window

    subject = setup.load(pocket_lm())
    ids = torch.randint(2, 2000, (1, 1300), generator=torch.Generator().manual_seed(1))
    found = own_window(subject, ids)
    assert found.shape == (1300,)
    assert found.isfinite().all()


def test_a_folder_without_a_model_is_refused_in_one_line(run: Run, tmp_path: Path) -> None:
    result = run("bench", "stream", "--model", tmp_path)
    assert result.returncode == 4
    assert "no config.json" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not result.stdout
