"""Events that begin at surprising sentences: whole, in order, of bounded size."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from memagent.memory.index.embedder import Embedder
from memagent.memory.namespace import Namespace
from memagent.memory.segmentation.scorer import Score, Surprise, score
from memagent.memory.segmentation.sentences import estimate_tokens, sentences
from memagent.memory.segmentation.surprising import SurprisingSentences
from memagent.memory.store.database import Store
from memagent.memory.store.forget import BLOCK
from memagent.scorers.local import ModelSurprise
from memagent.types import Piece
from tests.conftest import Run

CALM = "The day was as calm as the days before it had been."
SUDDEN = "Suddenly a zeppelin fell upon the roof of the barn."
LONG = "\n\n".join(topics[name] for name in ("if", "try", "with", "while"))[:7000]
SCORER = ModelSurprise()

plain = st.lists(
    st.sampled_from([CALM, SUDDEN, "Yes.", "\n\n", "— * —", "And so on " * 60 + ".", "x" * 700]),
    max_size=40,
).map(" ".join)


class Planted:
    """Characters as tokens; those of a sentence that begins with 'Suddenly' are surprising."""

    id = "planted"

    def score(self, texts: Sequence[str]) -> list[Surprise]:
        found = []
        for text in texts:
            nats = np.ones(len(text), dtype=np.float32)
            for start, end, _ in sentences(text):
                if text.startswith("Suddenly", start):
                    nats[start:end] = 9
            places = np.arange(len(text), dtype=np.int64)
            found.append(Surprise(np.stack((places, places + 1), 1), nats))
        return found


def test_surprising_sentences_begin_events() -> None:
    text = " ".join([CALM] * 4 + [SUDDEN] + [CALM] * 5 + [SUDDEN] + [CALM] * 3)
    events = [text[a:b] for a, b in SurprisingSentences(Planted()).cut(text)]
    assert [event.split()[0] for event in events] == ["The", "Suddenly", "Suddenly"]
    assert " ".join(events) == text


def test_an_event_below_the_minimum_size_does_not_end() -> None:
    text = " ".join([CALM, CALM, CALM, SUDDEN, "Suddenly!", CALM, CALM, CALM, CALM])
    events = [text[a:b] for a, b in SurprisingSentences(Planted(), least=16, short=48).cut(text)]
    assert [event.split()[0] for event in events] == ["The", "Suddenly"]


def test_a_paragraph_opens_an_event_that_is_large_enough() -> None:
    text = "\n\n".join([" ".join([CALM] * 2)] * 6)
    events = SurprisingSentences(Planted(), paragraph=40).cut(text)
    assert [text[a:b].count(CALM) for a, b in events] == [4, 4, 4]


@settings(max_examples=60, deadline=None)
@given(st.one_of(plain, st.text(max_size=1500)))
def test_events_are_ordered_bounded_and_cover_every_word(text: str) -> None:
    segmenter = SurprisingSentences(SCORER, most=64)
    events = segmenter.cut(text)
    assert events == segmenter.cut(text)
    behind = 0
    whole = [(start, end) for start, end, _ in sentences(text)]
    for start, end in events:
        assert behind <= start < end <= len(text)
        assert not any(c.isalnum() for c in text[behind:start])
        # A sentence is cut only where it alone is more than an event.
        first, last = next((a, b) for a, b in whole if a <= start < b)
        assert start == first or estimate_tokens(text[first:last]) > segmenter.most
        assert estimate_tokens(text[start:end]) <= 3 * segmenter.most
        behind = end
    assert not any(c.isalnum() for c in text[behind:])


def test_events_of_prose_are_neither_sentences_nor_pages() -> None:
    segmenter = SurprisingSentences(SCORER)
    sizes = [estimate_tokens(LONG[a:b]) for a, b in segmenter.cut(LONG)]
    assert 30 < sum(sizes) / len(sizes) < 100
    assert max(sizes) <= segmenter.most + 8  # white space between sentences counts here


def test_a_short_span_is_one_event_and_is_not_scored() -> None:
    scorer = ModelSurprise()
    text = f"  {CALM} {SUDDEN} {CALM}\n"
    assert SurprisingSentences(scorer).cut(text) == [(2, len(text) - 1)]
    assert SurprisingSentences(scorer).cut(" … \n") == []
    assert SurprisingSentences(scorer).cut("") == []
    assert "_loaded" not in vars(scorer)


def test_the_id_of_a_segmenter_names_its_parameters_and_model() -> None:
    one, other = SurprisingSentences(SCORER), SurprisingSentences(SCORER, gamma=1.0)
    assert one.id != other.id
    assert SCORER.id in one.id


def test_a_rebuilt_store_has_the_same_events(
    store: Store, embedder: Embedder, tmp_path: Path
) -> None:
    memory = Namespace(store, "default", embedder, tmp_path / "index", SurprisingSentences(SCORER))
    places = []
    for name in ("one", "two"):
        source, _ = memory.sources.begin_document(name, name, None, "text/plain")
        text = LONG if name == "one" else LONG[500:]
        memory.add_pieces(source, [Piece(text)], lambda spans, chars: None)
        memory.catch_up()
        places.append([(e.start, e.end) for e in memory.events.of(source.id)])
    memory.rebuild()
    ids = [memory.sources.get(name).id for name in ("one", "two")]
    assert [[(e.start, e.end) for e in memory.events.of(i)] for i in ids] == places


def test_text_forgotten_during_segmentation_is_segmented_again(memory: Namespace) -> None:
    class Slow(SurprisingSentences):
        def cut(self, text: str, score: Score = score) -> list[tuple[int, int]]:
            if BLOCK not in text:
                memory.forget_range(source.id, 0, len(CALM))
            return super().cut(text, score)

    source, _ = memory.sources.begin_document("a", "a", None, "text/plain")
    memory.add_pieces(source, [Piece(f"{CALM} {SUDDEN}")], lambda spans, chars: None)
    memory.segmenter = Slow(Planted())
    memory.catch_up()
    found = [event.text for event in memory.events.of(source.id)]
    assert found == [f"{BLOCK * len(CALM)} {SUDDEN}"]


def test_the_program_uses_the_chosen_segmenter(run: Run, tmp_path: Path) -> None:
    def used() -> dict[str, str]:
        with closing(sqlite3.connect(tmp_path / "memory.db")) as db:
            return dict(
                db.execute(
                    """SELECT src.name, s.segmenter FROM spans s
                       JOIN sources src ON src.id = s.source_id"""
                )
            )

    assert run("add", "-", "--name", "a", stdin=LONG).returncode == 0
    assert run("add", "-", "--name", "b", "--segmenter", "sentences", stdin=LONG).returncode == 0
    assert (
        run("add", "-", "--name", "c", stdin=LONG, MEMAGENT_SEGMENTER="sentences").returncode == 0
    )
    kinds = {name: segmenter.split("-")[0] for name, segmenter in used().items()}
    assert kinds == {"a": "surprise", "b": "sentences", "c": "sentences"}
    assert SCORER.id in used()["a"]
    assert run("memory", "rebuild", "--segmenter", "surprise").returncode == 0
    assert set(used().values()) == {SurprisingSentences(SCORER).id}
    wrong = run("add", "-", "--name", "d", stdin=LONG, MEMAGENT_SEGMENTER="pages")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "segmenter must be one of sentences, surprise" in wrong.stderr
