"""Telling questions, statements and other turns apart by their form."""

import pytest

from memagent.engines.pocket.question_intent import Turn, classify_turn


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Where is it?", Turn.SPAN),
        ("where is it", Turn.SPAN),
        ("And who said so?", Turn.SPAN),
        ("In which year did it rain?", Turn.SPAN),
        ("The gate code?", Turn.SPAN),
        ("Tell me about bees", Turn.OTHER),
        ("Is the kite blue?", Turn.OTHER),
        ("Summarise the chapter on bees.", Turn.OTHER),
        ("Write a poem about bees.", Turn.WRITING),
        ("Please translate this into French", Turn.WRITING),
        ("Can you write an e-mail?", Turn.WRITING),
        ("It was cold.", Turn.STATEMENT),
        ("I wonder.", Turn.STATEMENT),
        ("Whatever.", Turn.STATEMENT),
        ("Written in 1984, it is short.", Turn.STATEMENT),
        ("", Turn.STATEMENT),
    ],
)
def test_turns_are_known_by_their_form(text: str, kind: Turn) -> None:
    assert classify_turn(text, asked=False) is kind


def test_what_is_asked_is_a_question_whatever_its_form() -> None:
    assert classify_turn("gate code", asked=True) is Turn.SPAN
    assert classify_turn("Write a poem", asked=True) is Turn.WRITING
