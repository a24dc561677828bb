"""The surprise of text by a served model, against the same model in Transformers."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pytest

from memagent.engines.openai.engine import VllmEngine
from memagent.memory.segmentation.surprising import SurprisingSentences
from memagent.scorers.local import ModelSurprise
from memagent.scorers.served import ServedSurprise
from memagent.scorers.windows import WINDOW
from tests.conftest import Run
from tests.vllm.serving import CONTEXT, RealServer

pytestmark = pytest.mark.vllm

Attach = Callable[..., VllmEngine]
ENGLISH = "\n\n".join(topics[name] for name in ("if", "try", "with", "while", "for"))[:6000]
GERMAN = "\n\n".join(
    f"Am {day}. März zählte die Mannschaft {day * 7} Kisten Tee. Der Hafenmeister verwahrt den "
    f"Schlüssel Nr. {day} in der {day + 2}. Schublade; „niemand“, sagte er, „öffnet sie bei Flut.“ "
    "Über den Häusern standen Störche, größer als die Bäume."
    for day in range(1, 25)
)
JAPANESE = "\n\n".join(
    f"第{day}日。港の長は予備の鍵{day * 3}を机の三番目の引き出しにしまう。🛶 船員は👩‍👩‍👧と話した。"
    f"cafe\u0301\u3000記憶は消えない！ 北の海では{day + 4}隻の船が氷を割り、茶と珈琲を運んだ。"
    for day in range(1, 31)
)
CODE = Path(json.__file__).with_name("decoder.py").read_text(encoding="utf-8")[:7000]
ODD = " \n\t \u00a0\r\n\u200b<|eos|> a<|bos|>\ufeff\ufffd█ " * 60
TEXTS = {
    "English": ENGLISH,
    "German": GERMAN,
    "Japanese": JAPANESE,
    "code": CODE,
    "odd": ODD,
    "short": "x",
    "none": "",
}


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelSurprise]:
    """The bundled model by Transformers, in float32 as it is served."""
    monkeypatch.setattr("memagent.scorers.local.fast_products", lambda device: nullcontext())
    yield ModelSurprise()


@pytest.fixture
def served(pocket_server: RealServer) -> Iterator[ServedSurprise]:
    """The same model by the server."""
    with closing(VllmEngine(pocket_server.url)) as engine:
        yield ServedSurprise(engine.connect)


@pytest.mark.parametrize("name", TEXTS)
def test_it_is_that_of_transformers_at_every_token(
    served: ServedSurprise, model: ModelSurprise, name: str
) -> None:
    text = TEXTS[name]
    (own,), (expected,) = served.score([text]), model.score([text])
    if name not in ("short", "none"):
        assert len(expected.nats) > 2 * WINDOW
    np.testing.assert_array_equal(own.offsets, expected.offsets)
    np.testing.assert_allclose(own.nats, expected.nats, atol=1e-2)


@pytest.mark.parametrize("name", ["English", "German", "Japanese", "code"])
def test_events_are_the_same(served: ServedSurprise, model: ModelSurprise, name: str) -> None:
    text = TEXTS[name]
    own, expected = SurprisingSentences(served).cut(text), SurprisingSentences(model).cut(text)
    assert own == expected
    assert len(own) > 3


def test_its_id_names_model_and_window(pocket_server: RealServer, server: RealServer) -> None:
    with closing(VllmEngine(pocket_server.url)) as one, closing(VllmEngine(server.url)) as two:
        ids = [
            ServedSurprise(one.connect).id,
            ServedSurprise(one.connect).id,
            ServedSurprise(one.connect, 256).id,
            ServedSurprise(two.connect).id,
        ]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert all(found.startswith("served-") for found in ids)
    recorded = SurprisingSentences.recorded(f"surprise-0.5-64-16-64-128-96-128-{ids[0]}")
    assert recorded is not None
    assert recorded.scorer.id == ids[0]


def test_without_an_opening_token_the_first_of_a_text_has_no_surprise(
    server: RealServer, attach: Attach
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    text = "On 14 March the crew counted 212 crates of tea. Ein Gedächtnis, 記憶は消えない。 " * 9
    (own,) = ServedSurprise(lambda: attach(server.url), window=64).score([text])
    ids = AutoTokenizer.from_pretrained(server.model).encode(text)
    model = AutoModelForCausalLM.from_pretrained(server.model, dtype=torch.float32)
    expected = [0.0]
    for start in range(0, len(ids), 48):
        window = ids[start : start + 64]
        with torch.no_grad():
            logits = model(torch.tensor([window])).logits[0]
        nats = -logits.log_softmax(-1)[range(len(window) - 1), window[1:]]
        expected += nats[len(expected) - start - 1 :].tolist()
    assert len(ids) > 2 * 64
    np.testing.assert_allclose(own.nats, expected, atol=1e-2)


def test_a_window_leaves_room_for_a_token(attach: Attach, server: RealServer) -> None:
    assert ServedSurprise(lambda: attach(server.url), 10 * CONTEXT).window == CONTEXT - 1
    assert ServedSurprise(lambda: attach(server.url, context=300), 512).window == 299


def test_a_document_is_cut_by_the_served_model_and_recut_without_it(
    pocket_server: RealServer, model: ModelSurprise, run: Run, tmp_path: Path
) -> None:
    tmp_path.joinpath("german.txt").write_text(GERMAN, encoding="utf-8")
    served = ("--scorer", "served", "--url", pocket_server.url)
    added = run("add", "german.txt", *served)
    assert added.returncode == 0, added.stderr
    shown = json.loads(run("memory", "show", "german.txt", "--events", "--json").stdout)
    expected = SurprisingSentences(model).cut(GERMAN)
    assert [(event["start"], event["end"]) for event in shown] == expected
    with closing(sqlite3.connect(tmp_path / "memory.db")) as db:
        (segmenter,) = {row[0] for row in db.execute("SELECT segmenter FROM spans")}
    assert "-served-" in segmenter

    plot = run("memory", "show", "german.txt", "--plot")
    assert plot.returncode == 0, plot.stderr
    again = run("memory", "resegment", "--gamma", "2", *served)
    assert again.returncode == 0, again.stderr
    other = run("memory", "resegment", "--gamma", "2")
    assert other.returncode == 1
    assert "no surprise is stored" in other.stderr


def test_text_stays_when_the_server_is_down_and_is_cut_the_next_time(
    pocket_server: RealServer, run: Run, tmp_path: Path
) -> None:
    tmp_path.joinpath("code.txt").write_text(CODE, encoding="utf-8")
    down = run("add", "code.txt", "--scorer", "served", "--url", "http://127.0.0.1:9")
    assert down.returncode == 4
    assert "no server answers at http://127.0.0.1:9" in down.stderr
    assert run("memory", "show", "code.txt").stdout == CODE
    assert json.loads(run("memory", "show", "code.txt", "--events", "--json").stdout) == []
    again = run("add", "code.txt", "--scorer", "served", "--url", pocket_server.url)
    assert again.returncode == 0, again.stderr
    assert len(json.loads(run("memory", "show", "code.txt", "--events", "--json").stdout)) > 3
