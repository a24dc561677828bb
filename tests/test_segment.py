"""Events without a language model: whole sentences, in order, of bounded size."""

from hypothesis import given, settings
from hypothesis import strategies as st

from memagent.memory.segmentation.sentences import Sentences, estimate_tokens, sentences

TEXT = """Dr. Smith arrived at 3.15 p.m. He was late. "Why now?" she asked.

The second paragraph speaks of something else entirely. It goes on for a while, as such
paragraphs do, and then it ends.

---

███████

A third one."""


def test_sentences_keep_abbreviations_and_drop_what_has_no_word() -> None:
    found = [TEXT[start:end] for start, end, _ in sentences(TEXT)]
    assert found[0].startswith("Dr. Smith arrived")
    assert "A third one." in found
    assert not any("███" in sentence or "---" in sentence for sentence in found)


def test_paragraphs_open_events_once_they_are_large_enough() -> None:
    small = Sentences(least=10, most=60)
    events = [TEXT[start:end] for start, end in small.cut(TEXT)]
    assert len(events) >= 2
    assert events[1].startswith("The second paragraph")


def test_a_giant_word_is_cut_hard() -> None:
    events = Sentences(least=8, most=32).cut("x" * 1000)
    assert events[0][0] == 0
    assert events[-1][1] == 1000
    assert all(end - start <= 128 for start, end in events)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=2000))
def test_events_are_ordered_bounded_and_cover_every_word(text: str) -> None:
    segmenter = Sentences(least=8, most=32)
    events = segmenter.cut(text)
    assert events == segmenter.cut(text)
    behind = 0
    for start, end in events:
        assert behind <= start < end <= len(text)
        assert not any(c.isalnum() for c in text[behind:start])
        behind = end
    assert not any(c.isalnum() for c in text[behind:])
    for start, end in events:
        assert estimate_tokens(text[start:end]) <= 3 * segmenter.most
