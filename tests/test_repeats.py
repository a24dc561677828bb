"""Near duplicates: detecting them, and skipping them in recall."""

import pytest

from memagent.memory.namespace import Namespace
from memagent.memory.recall.near_duplicates import Repeats
from memagent.types import Piece

SAID = "The gate code is 4711, and the key hangs behind the door of the shed."


@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        (SAID, True),
        (SAID.upper().replace(",", " –"), True),
        ("the key hangs behind the door of the shed", True),
        (SAID.replace("4711", "4712"), False),
        (SAID + " It was oiled in spring, for the first time in years, by the neighbours.", False),
        ("The shed of the door behind hangs key the", False),
        ("", False),
        ("the key", False),
    ],
)
def test_a_text_repeats_another_by_its_words_in_order(text: str, repeats: bool) -> None:
    said = Repeats()
    said.add("Something else altogether.")
    said.add(SAID)
    assert (text in said) == repeats


def test_parts_of_several_texts_make_a_new_one() -> None:
    said = Repeats()
    for text in ("Ann of all people sold the boat at dawn", "Bob of all people sold the boat"):
        said.add(text)
    assert "Bob of all people sold the boat at dawn" not in said


def test_a_short_text_repeats_itself_only() -> None:
    said = Repeats()
    said.add("Yes.")
    assert "yes" in said
    assert "yes, he said so himself" not in said
    assert "no" not in said


def test_what_documents_share_spends_the_budget_once(memory: Namespace) -> None:
    for name in ("one", "copy", "third"):
        source, _ = memory.sources.begin_document(name, name, None, "text/plain")
        memory.add_pieces(source, [Piece(SAID)], lambda spans, chars: None)
    found = memory.recall("What is the gate code?", budget=2000)
    assert [event.text for event in found.events] == [SAID]
    assert len(found.left_out) == 2


def test_what_is_said_again_another_day_is_another_event(memory: Namespace) -> None:
    session = memory.sources.session("talk")
    for day in (1, 2, 2):
        memory.spans.append_turn(session.id, "user", SAID, time=f"2026-02-0{day}T12:00:00")
    found = memory.recall("What is the gate code?", budget=2000)
    assert [event.time[:10] for event in found.events] == ["2026-02-01", "2026-02-02"]
