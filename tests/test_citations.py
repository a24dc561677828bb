"""Citations match the stored text or are marked unverified."""

from memagent.agent.citations import check, locate
from memagent.types import Event


def _event(text: str, start: int = 100, source_id: int = 7) -> Event:
    return Event(
        start, source_id, "doc", "document", start, start + len(text), text, None, None, None, ""
    )


CAT = _event("My sister's cat is called Biscuit.\nShe fears thunder.")
KEY = _event('The note said "behind the red door" and nothing else.', start=500)


def _texts(answer: str, *events: Event, question: str = "") -> list[tuple[int, bool, str]]:
    found = []
    for row in check(answer, events, question):
        if row.verified:
            event = next(e for e in events if e.start <= (row.start or 0) < e.end)
            assert row.start is not None and row.end is not None
            found.append(
                (row.number, True, event.text[row.start - event.start : row.end - event.start])
            )
        else:
            found.append((row.number, False, row.claim or ""))
    return found


def test_a_quote_before_its_marker_is_cited_to_the_character() -> None:
    assert _texts("“My sister's cat is called Biscuit.” [1]", CAT) == [
        (1, True, "My sister's cat is called Biscuit.")
    ]


def test_line_breaks_may_differ_and_the_stored_text_is_cited() -> None:
    assert _texts('"is called Biscuit. She fears thunder." [1]', CAT) == [
        (1, True, "is called Biscuit.\nShe fears thunder.")
    ]


def test_a_quote_with_quotes_inside() -> None:
    assert _texts('"The note said "behind the red door" and nothing else." [1]', KEY) == [
        (1, True, KEY.text)
    ]


def test_a_marker_without_a_quote_cites_its_event() -> None:
    assert _texts("The cat is Biscuit [1].", CAT) == [(1, True, CAT.text)]


def test_several_numbers_in_one_marker() -> None:
    assert _texts("Both are known [1, 2].", CAT, KEY) == [(1, True, CAT.text), (2, True, KEY.text)]


def test_a_quote_under_the_wrong_number_is_cited_where_it_stands() -> None:
    assert _texts('"My sister\'s cat is called Biscuit." [2]', CAT, KEY) == [
        (1, True, "My sister's cat is called Biscuit.")
    ]


def test_an_invented_quote_is_unverified() -> None:
    assert _texts('"My sister\'s dog is called Rex." [1]', CAT) == [
        (1, False, "My sister's dog is called Rex.")
    ]


def test_a_number_that_means_nothing_is_unverified() -> None:
    assert _texts("It is so [9] and so [0].", CAT) == [(9, False, "[9]"), (0, False, "[0]")]


def test_a_long_quote_without_a_marker_is_checked_too() -> None:
    assert _texts('It says "behind the red door" somewhere.', KEY) == [
        (1, True, "behind the red door")
    ]
    assert _texts('It says "under the blue mat outside" somewhere.', KEY) == [
        (0, False, "under the blue mat outside")
    ]


def test_repeating_the_question_is_no_claim() -> None:
    question = 'Who said "give me back my hat now"?'
    assert _texts('Nobody said "give me back my hat now".', CAT, question=question) == []


def test_locate_takes_special_characters_literally() -> None:
    assert locate("a.b (c)", "xx a.b  (c) yy") == (3, 11)
    assert locate("a.b", "aXb") is None
    assert locate("   ", "anything") is None
