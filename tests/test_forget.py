"""Forgetting overwrites text, everything derived from it, and the quotes of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from memagent.memory.namespace import Namespace
from memagent.memory.segmentation.surprising import SurprisingSentences
from memagent.memory.store.answers import AnswerRecord, CitationRow
from memagent.memory.store.forget import BLOCK
from memagent.scorers.local import ModelSurprise
from memagent.types import Piece

SECRET = "The vault code is xylophonium-4711."
TEXT = f"Bread is in the oven. {SECRET} The cat sleeps on the stove."


def _add(memory: Namespace) -> int:
    source, _ = memory.sources.begin_document("notes", "hash", None, "text/plain")
    memory.add_pieces(source, [Piece(TEXT)], lambda spans, chars: None)
    return source.id


def _bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_range_is_overwritten_and_offsets_stay(memory: Namespace, tmp_path: Path) -> None:
    source_id = _add(memory)
    assert "xylophonium" in memory.recall("vault code", budget=500).best[0].event.text
    start = TEXT.index(SECRET)
    end = start + len(SECRET)
    assert memory.forget_range(source_id, start, end) == len(SECRET)
    assert memory.spans.text(source_id) == TEXT.replace(SECRET, BLOCK * len(SECRET))
    found = " ".join(h.event.text for h in memory.recall("vault code cat", budget=500).chosen)
    assert "xylophonium" not in found
    assert "cat sleeps" in found
    assert memory.forget_range(source_id, start, end) == 0
    memory.purge()
    assert b"xylophonium" not in _bytes(tmp_path)


def test_the_quote_in_an_answer_goes_too(memory: Namespace, tmp_path: Path) -> None:
    source_id = _add(memory)
    session = memory.sources.session("talk")
    turn = memory.spans.append_turn(session.id, "user", "What is the code?")
    answer_id = memory.answers.begin(turn, "pocket")
    start = TEXT.index(SECRET)
    memory.answers.finish(
        answer_id,
        AnswerRecord(
            f"{SECRET.split()[-1]}\n“{SECRET}” [1] Anything else?",
            "stop",
            found=True,
            citations=[CitationRow(1, True, source_id, start, start + len(SECRET))],
            usage={"prompt": 1, "completion": 1},
            explain={},
            segment=True,
        ),
    )
    memory.catch_up()
    memory.forget_range(source_id, start, start + len(SECRET))
    said = memory.answers.get(answer_id)["text"]
    short = BLOCK * len(SECRET.split()[-1])
    assert said == f"{short}\n“{BLOCK * len(SECRET)}” [1] Anything else?"
    assert memory.answers.citations(answer_id)[0]["verified"] == 0
    memory.purge()
    assert b"xylophonium" not in _bytes(tmp_path)


def test_a_whole_source_goes_and_its_name_is_free(memory: Namespace, tmp_path: Path) -> None:
    _add(memory)
    memory.catch_up()
    assert memory.forget_source(memory.sources.get("notes")) == len(TEXT)
    memory.purge()
    assert memory.sources.find("notes") is None
    assert memory.recall("vault code", budget=500).chosen == ()
    assert b"xylophonium" not in _bytes(tmp_path)
    _add(memory)
    assert memory.recall("vault code", budget=500).chosen


def test_a_document_goes_with_the_versions_before_it(memory: Namespace, tmp_path: Path) -> None:
    _add(memory)
    memory.catch_up()
    _supersede(memory)
    memory.catch_up()
    forgotten = memory.forget_source(memory.sources.get("notes"))
    assert forgotten == len(TEXT) + len("Nothing of it.")
    memory.purge()
    assert memory.sources.find("notes") is None
    assert b"xylophonium" not in _bytes(tmp_path)
    assert b"Nothing of it" not in _bytes(tmp_path)


def test_neighbouring_text_stays_searchable_by_its_words(memory: Namespace) -> None:
    source_id = _add(memory)
    memory.catch_up()
    start = TEXT.index(SECRET)
    memory.forget_range(source_id, start, start + len(SECRET))
    memory.catch_up()
    lexical = memory.retriever.lexical.search(memory.retriever.lexical.words("bread"), 10, _all())
    assert len(lexical) == 1
    assert memory.store.integrity() == "ok"


def _range(memory: Namespace) -> None:
    memory.forget_range(memory.sources.get("notes").id, 500, 501)


def _source(memory: Namespace) -> None:
    memory.forget_source(memory.sources.get("notes"))


def _supersede(memory: Namespace) -> None:
    source, _ = memory.sources.begin_document("notes", "other hash", None, "text/plain")
    memory.add_pieces(source, [Piece("Nothing of it.")], lambda spans, chars: None)


def _withdraw(memory: Namespace) -> None:
    memory.withdraw(memory.spans.of(memory.sources.get("notes").id))


@pytest.mark.parametrize("lose", [_range, _source, _supersede, _withdraw])
def test_surprise_goes_with_its_text(
    memory: Namespace, tmp_path: Path, lose: Callable[[Namespace], None]
) -> None:
    memory.segmenter = SurprisingSentences(ModelSurprise())
    source, _ = memory.sources.begin_document("notes", "hash", None, "text/plain")
    memory.add_pieces(source, [Piece(f"{TEXT} " * 80)], lambda spans, chars: None)
    memory.catch_up()
    (kept,) = memory.store.rows("SELECT packed FROM surprises")
    parts = [kept["packed"][at : at + 16] for at in range(0, len(kept["packed"]), 200)]
    assert len(parts) > 4
    memory.store.checkpoint()
    assert any(part in _bytes(tmp_path) for part in parts)
    lose(memory)
    assert memory.store.rows("SELECT * FROM surprises") == []
    memory.purge()
    assert not any(part in _bytes(tmp_path) for part in parts)
    memory.catch_up()
    spans = [row["span_id"] for row in memory.store.rows("SELECT span_id FROM surprises")]
    left = [span.id for span in memory.spans.of(source.id)] if lose is _range else []
    assert spans == left


def test_the_surprise_of_an_answer_that_quotes_goes_too(memory: Namespace) -> None:
    memory.segmenter = SurprisingSentences(ModelSurprise())
    source_id = _add(memory)
    turn = memory.spans.append_turn(memory.sources.session("talk").id, "user", "The code?")
    answer_id = memory.answers.begin(turn, "pocket")
    start = TEXT.index(SECRET)
    memory.answers.finish(
        answer_id,
        AnswerRecord(
            f"“{SECRET}” " + "The rest of this long answer is about the cat. " * 20,
            "stop",
            found=True,
            citations=[CitationRow(1, True, source_id, start, start + len(SECRET))],
            usage={},
            explain={},
            segment=True,
        ),
    )
    memory.catch_up()
    assert len(memory.store.rows("SELECT * FROM surprises")) == 1
    memory.forget_range(source_id, start, start + len(SECRET))
    assert memory.store.rows("SELECT * FROM surprises") == []


def test_text_superseded_before_it_was_cut_is_not_recalled(memory: Namespace) -> None:
    _add(memory)
    _supersede(memory)
    assert [h.event.text for h in memory.recall("vault code", budget=500).best] == [
        "Nothing of it."
    ]


def _all():
    from memagent.memory.events import Filter

    return Filter()
