"""Telling questions, statements and other turns apart by their form."""

import pytest

from memagent.engines.pocket.question_intent import Intent, classify_intent


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Where is it?", Intent.SPAN),
        ("where is it", Intent.SPAN),
        ("And who said so?", Intent.SPAN),
        ("In which year did it rain?", Intent.SPAN),
        ("The gate code?", Intent.SPAN),
        ("Tell me about bees", Intent.OTHER),
        ("Is the kite blue?", Intent.OTHER),
        ("Summarise the chapter on bees.", Intent.OTHER),
        ("Write a poem about bees.", Intent.WRITING),
        ("Please translate this into French", Intent.WRITING),
        ("Can you write an e-mail?", Intent.WRITING),
        ("It was cold.", Intent.STATEMENT),
        ("I wonder.", Intent.STATEMENT),
        ("Whatever.", Intent.STATEMENT),
        ("Written in 1984, it is short.", Intent.STATEMENT),
        ("", Intent.STATEMENT),
    ],
)
def test_intents_are_classified_by_the_form_of_a_turn(text: str, kind: Intent) -> None:
    assert classify_intent(text, asked=False) is kind


def test_asked_text_is_a_question_in_any_form() -> None:
    assert classify_intent("gate code", asked=True) is Intent.SPAN
    assert classify_intent("Write a poem", asked=True) is Intent.WRITING
