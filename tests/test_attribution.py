"""Where the sentences of a generated answer stand in the passages."""

from __future__ import annotations

from memagent.agent.attribution import attribute, specifics
from memagent.types import Event

PIER = (
    "The pier was rebuilt by Ada Lund in 1987, after the storm. It cost 48,500 pounds. "
    "The old planks were sold to a boatyard."
)
PRICES = '"Tyre, touring",700x37,21.25\n"Tyre, touring",700x42,23.80'
CHAT = "We chose Demirci in the end. Jonas would rather stop at shoulder height."


def events() -> list[Event]:
    """Three passages of three sources."""
    texts = {"pier.txt": PIER, "prices.csv": PRICES, "bathroom": CHAT}
    return [
        Event(number, number, name, "document", 0, len(text), text, None, None, None, "2026-01-01")
        for number, (name, text) in enumerate(texts.items(), start=1)
    ]


def cited(answer: str, question: str = "") -> list[str]:
    """The stored text that the answer is attributed to."""
    texts = [event.text for event in events()]
    return [
        texts[row.number - 1][row.start : row.end]
        for row in attribute(answer, events(), question)
        if row.verified
    ]


def missing(answer: str, question: str = "", known: list[str] | None = None) -> list[str | None]:
    """What has no source."""
    rows = attribute(answer, events(), question, known or [])
    return [row.claim for row in rows if not row.verified]


def test_a_sentence_is_attributed_to_the_stored_sentence_with_its_words() -> None:
    found = cited("It was Ada Lund who rebuilt it, in 1987.", "Who rebuilt the pier?")
    assert found == ["The pier was rebuilt by Ada Lund in 1987, after the storm."]


def test_a_bare_name_is_attributed_by_the_question() -> None:
    assert cited("Jonas.", "Who wanted to stop at shoulder height?") == [
        "Jonas would rather stop at shoulder height."
    ]


def test_thousands_separators_do_not_matter() -> None:
    assert cited("The price was 48500 pounds.", "What did it cost?") == ["It cost 48,500 pounds."]


def test_a_number_is_found_in_a_table_row_whatever_the_words_around_it() -> None:
    (row,) = cited("The trade price is 23.80 dollars.", "What is the price of the 700x42 tyre?")
    assert "700x42,23.80" in row


def test_yes_and_no_rest_on_the_sentence_that_the_question_is_about() -> None:
    assert cited("No.", "Were the old planks burnt or sold to a boatyard?") == [
        "The old planks were sold to a boatyard."
    ]


def test_each_sentence_gets_its_own_place() -> None:
    found = cited("Ada Lund rebuilt it. The planks went to a boatyard.", "What became of the pier?")
    assert len(found) == 2


def test_a_sentence_that_no_passage_holds_has_no_source() -> None:
    answer = "The lighthouse keeper drowned."
    assert cited(answer) == []
    assert missing(answer) == [answer]


def test_a_number_that_stands_nowhere_is_marked() -> None:
    answer = "The pier was rebuilt by Ada Lund, after the storm, with 12 men."
    assert cited(answer)
    assert missing(answer) == ["12"]


def test_a_name_that_stands_nowhere_is_marked() -> None:
    assert "Boris" in missing("The pier was rebuilt by Ada Lund and Boris in 1987.")


def test_small_talk_needs_no_source() -> None:
    rows = attribute("Good to know. It took 12 men.", events(), "I like tea.", asked=False)
    assert [row.claim for row in rows if not row.verified] == ["12"]


def test_words_of_the_conversation_need_no_source() -> None:
    said = "My sister Ilse lives in Turku."
    assert missing("Your sister Ilse lives in Turku.", "", [said]) == []


def test_a_sentence_with_a_marker_is_left_to_the_check_of_citations() -> None:
    assert attribute("Nothing of the kind [1].", events(), "") == []


def test_without_passages_nothing_is_attributed() -> None:
    assert attribute("Ada Lund rebuilt it.", [], "Who?") != []
    assert not any(row.verified for row in attribute("Ada Lund rebuilt it.", [], "Who?"))


def test_the_first_word_of_a_sentence_is_no_name() -> None:
    assert specifics("Nobody told Ada Lund about the 48,500 pounds.") == ["48,500", "Ada", "Lund"]
