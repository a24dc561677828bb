"""The rule for superseded statements: cases that must match, and cases that must not."""

import pytest

from memagent.memory.recall.language.validity import Statement, statements, superseders


def superseded(*said: str) -> bool:
    """Whether the last of the texts supersedes something in the first."""
    return any(new.supersedes(old) for old in statements(said[0]) for new in statements(said[-1]))


CHANGES = [
    ("My address is Rose Lane 4.", "My address is now Oak Street 9."),
    ("My address is Rose Lane 4.", "My new address is Oak Street 9"),
    ("My address is Rose Lane 4.", "Sorry, my address is Rose Lane 5."),
    ("My address is 4 rose lane", "My address is 9 oak street"),
    ("Hello! My address is Rose Lane 4. Bye.", "By the way, my address changed to Oak Street 9."),
    ("The gate code is 4711.", "The gate code is 9200."),
    ("The gate code is 4711.", "The gate code changed to 9200."),
    ("The gate code is 4711.", "The gate code has been changed from 4711 to 9200."),
    ("The gate code is 4711.", "We changed the gate code to 9200."),
    ("The code for the gate is 4711", "The code for the gate is 9200"),
    ("The wifi password is apple tree", "The wifi password is pear house"),
    ("My phone number is 555-1234.", "I’ve changed my phone number to 555-9999."),
    ("My email is ann@x.org", "My email is ann@y.org"),
    ("My weight is 80 kg", "My weight is 78 kg"),
    ("My favourite colour is blue.", "I slept well, and my favourite colour is green now!"),
    ("My boss is Ann.", "My new boss is Carl."),
    ("My car is a Honda.", "My car is now a Toyota."),
    ("I live in Hamburg.", "I moved to Berlin."),
    ("I'm living in Hamburg with my cat.", "I live in Berlin now."),
    ("I moved to Berlin.", "I now live in Rome."),
    ("My sister lives in Paris.", "My sister has moved to Rome."),
    ("Ann lives in Paris.", "Ann now lives in Rome"),
    ("I work at Siemens.", "I now work for Bosch."),
    ("I am 31 years old.", "I'm 32 years old"),
    ("The meeting is on Tuesday.", "The meeting moved to Wednesday."),
    ("The meeting is at 3 pm.", "The meeting was moved to 4:30 pm."),
    ("The rent is 900 euros.", "The rent is now 950 euros."),
]

NONE = [
    # What is said of a person or thing is not all one value.
    ("My sister is a nurse.", "My sister is visiting tomorrow."),
    ("My sister is a nurse.", "My sister is now a doctor."),
    ("My sister is Ann", "My sister moved to Rome"),
    ("My brother is Tom.", "My brother is Jerry."),
    ("My friend is Tom.", "My new friend is Jerry."),
    ("My cat is black.", "My cat is now asleep."),
    ("My boss is nice.", "My boss is Ann."),
    ("I went to the beach today", "I went to the mountains today"),
    # Questions, hedges, negations, the past, and what others say.
    ("The gate code is 4711.", "Is the gate code 9200?"),
    ("The gate code is 4711.", "The gate code is 9200?"),
    ("Is the gate code 4711?", "The gate code is 9200."),
    ("My address is Rose Lane 4.", "My address was Oak Street 9."),
    ("My address is Rose Lane 4.", "My old address is Oak Street 9."),
    ("My address is Rose Lane 4.", "My address is not Oak Street 9."),
    ("My address is Rose Lane 4.", "My address might be Oak Street 9."),
    ("My address is Rose Lane 4.", "If I move, my address is Oak Street 9."),
    ("My address is Rose Lane 4.", "She said my address is Oak Street 9."),
    ("I live in Hamburg.", "I moved to Berlin in 2015."),
    ("I live in Hamburg.", "I moved to Sweden four years ago."),
    # Other subjects.
    ("The gate code is 4711.", "The door code is 9200."),
    ("My address is Rose Lane 4.", "Her address is Oak Street 9."),
    ("My address is Rose Lane 4.", "My favourite food is now sushi."),
    ("He lives in Rome.", "He moved to Paris."),
    # "The" alone may be another one each time; days come round again.
    ("The price is 40 dollars.", "The price is 50 dollars."),
    ("The meeting is on Tuesday.", "The meeting is on Wednesday."),
    ("My birthday is on Friday.", "My birthday is on Sunday."),
    # The same, or more of the same.
    ("The gate code is 4711.", "The gate code is 4711."),
    ("The gate code is 4711.", "The gate code is now 4711!"),
    ("My address is Rose Lane 4.", "My address is Rose Lane 4, Springfield."),
    # Values that cannot be compared.
    ("My address is Rose Lane 4.", "My address is confidential."),
    ("My height is 180 cm.", "My height is 5 feet 11."),
    ("My son is 3.", "My son is now 5 feet tall."),
    ("The meeting is on Tuesday.", "The meeting moved to 3 pm."),
    ("My favourite book is Emma.", "My favourite book is amazing."),
    ("My favourite food is pizza.", "My favourite food is sushi and pasta."),
    ("I live in Germany.", "I live in Berlin."),
    # Other languages are silent.
    ("Der Torcode ist 4711.", "Der Torcode ist jetzt 9200."),
]


@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_a_newer_value_supersedes(old: str, new: str) -> None:
    assert superseded(old, new)


@pytest.mark.parametrize(("old", "new"), NONE)
def test_anything_else_does_not(old: str, new: str) -> None:
    assert not superseded(old, new)


def in_order(*said: str) -> list[Statement]:
    return [statement for text in said for statement in statements(text)]


def test_of_three_values_in_a_row_each_is_superseded_by_the_next() -> None:
    said = in_order("My pin is 1.", "My pin is 2.", "My pin is 2.", "My pin is 1.")
    assert superseders(said) == [1, 3, 3, None]


def test_a_statement_stands_at_its_place() -> None:
    text = "Hi! Oh, my address is Rose Lane 4, and the gate code is 12. Is it?"
    found = [text[each.start : each.end] for each in statements(text)]
    assert found == ["my address is Rose Lane 4", "the gate code is 12"]


@pytest.mark.parametrize("text", ["", "?", "is", "my is", "\n. ! ;", "My address is ", "█" * 50])
def test_text_without_a_claim_has_no_statement(text: str) -> None:
    assert list(statements(text)) == []


def test_long_text_is_read_in_time_that_grows_with_it() -> None:
    """A frame that backtracked over words would not come to an end here."""
    assert list(statements("my " + "very " * 20_000 + "is moved to changed to now " * 200)) == []
