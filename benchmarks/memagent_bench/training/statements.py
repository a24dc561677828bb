"""Facts in the first person, as people tell an assistant and ask about later, from templates.

The question sets have stories, dialogues and encyclopedias, but nobody who says "my". Knows
nothing of models.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from memagent_bench.data.items import Item

__all__ = ["statement_items"]

SLOTS: dict[str, tuple[str, ...]] = {
    "person": tuple(
        (
            "Anna Ben Clara David Emma Farid Grace Hugo Ines Jonas Kira Liam Mei Noah Olga Priya "
            "Quinn Rosa Samir Tara Umar Vera Wanda Yusuf Zoe"
        ).split()
    ),
    "kin": (
        "sister",
        "brother",
        "mother",
        "father",
        "aunt",
        "uncle",
        "neighbour",
        "boss",
        "dentist",
        "best friend",
        "daughter",
        "son",
        "cousin",
        "landlord",
        "piano teacher",
    ),
    "city": tuple(
        (
            "Porto Lyon Kyoto Bergen Toronto Lima Accra Hanoi Seville Leeds Oslo Quito Perth "
            "Austin Cork Graz Turin Delft"
        ).split()
    ),
    "day": (
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
        "the 3rd of May",
        "June 14",
        "next weekend",
    ),
    "hour": ("9 am", "half past ten", "noon", "3 pm", "17:45", "six o'clock", "8:15"),
    "thing": (
        "bicycle",
        "car",
        "laptop",
        "passport",
        "spare key",
        "camera",
        "umbrella",
        "suitcase",
        "guitar",
        "tent",
        "coat",
        "printer",
    ),
    "place": (
        "in the cellar",
        "under the bed",
        "on the top shelf",
        "behind the door",
        "in the blue box",
        "at the office",
        "in the glove compartment",
        "in the kitchen drawer",
    ),
    "colour": ("red", "dark green", "silver", "yellow", "navy blue", "black", "orange"),
    "food": (
        "lasagne",
        "mushroom soup",
        "sushi",
        "apple pie",
        "lentil curry",
        "pancakes",
        "grilled trout",
    ),
    "allergen": ("peanuts", "shellfish", "penicillin", "pollen", "cats", "gluten", "bee stings"),
    "job": (
        "a nurse",
        "an electrician",
        "a translator",
        "a pilot",
        "a gardener",
        "a software engineer",
        "a violinist",
    ),
    "animal": ("dog", "cat", "rabbit", "parrot", "horse"),
    "pet": tuple("Biscuit Luna Rex Pepper Otto Mochi Shadow Daisy".split()),
    "lock": ("gate", "alarm", "garage", "locker", "safe", "front door", "wifi"),
    "event": (
        "meeting",
        "concert",
        "dentist appointment",
        "interview",
        "flight",
        "wedding",
        "exam",
        "book club",
    ),
    "project": ("Falcon", "Aurora", "Birch", "Delta", "Harbour", "Juniper", "Mercury"),
    "reason": (
        "the budget was cut",
        "the supplier was late",
        "it rained all week",
        "nobody had the key",
        "the test server failed",
        "the visa had not arrived",
    ),
}
# A statement with its answer in brackets, and questions for it.
TEMPLATES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "The {lock} code is [{code}].",
        (
            "What is the {lock} code?",
            "What's the code of the {lock}?",
            "Which code opens the {lock}?",
        ),
    ),
    (
        "My {kin} is called [{person}].",
        ("What is my {kin}'s name?", "What is my {kin} called?", "Who is my {kin}?"),
    ),
    (
        "My {kin} {person} lives in [{city}].",
        (
            "Where does my {kin} live?",
            "In which city does {person} live?",
            "Where does {person} live?",
        ),
    ),
    ("My {kin} [{person}] lives in {city}.", ("Who lives in {city}?",)),
    (
        "My {event} is on [{day}] at {hour}.",
        ("When is my {event}?", "On which day is the {event}?"),
    ),
    (
        "The {event} on {day} starts at [{hour}].",
        ("What time is the {event}?", "When does the {event} start?"),
    ),
    ("I put the {thing} [{place}].", ("Where is the {thing}?", "Where did I put my {thing}?")),
    (
        "The {thing} is [{colour}] and cost {code} euros.",
        ("What colour is the {thing}?", "Which color does the {thing} have?"),
    ),
    (
        "The {thing} is {colour} and cost [{code} euros].",
        ("How much did the {thing} cost?", "What did I pay for the {thing}?"),
    ),
    (
        "{person} is allergic to [{allergen}].",
        ("What is {person} allergic to?", "Which allergy does {person} have?"),
    ),
    ("I am allergic to [{allergen}].", ("What am I allergic to?",)),
    (
        "{person}'s favourite dish is [{food}].",
        ("What does {person} like to eat?", "What is {person}'s favourite food?"),
    ),
    ("I really love [{food}].", ("What do I love to eat?", "What food do I like?")),
    ("{person} works as [{job}] in {city}.", ("What does {person} do?", "What is {person}'s job?")),
    ("[{person}] works as {job} in {city}.", ("Who works in {city}?", "Who is {job}?")),
    (
        "Our {animal} is named [{pet}].",
        ("What is the name of our {animal}?", "What is my {animal} called?"),
    ),
    (
        "Project {project} was delayed because [{reason}].",
        ("Why was {project} delayed?", "Why is project {project} late?"),
    ),
    (
        "[{person}] leads project {project} since {day}.",
        ("Who leads {project}?", "Who is in charge of project {project}?"),
    ),
    (
        "We bought [{number}] tickets for the {event}.",
        ("How many tickets did we buy?", "How many tickets do we have for the {event}?"),
    ),
    (
        "The deadline of project {project} is [{day}].",
        ("When is the deadline of {project}?", "What is the deadline for {project}?"),
    ),
    ("I moved to [{city}] in {year}.", ("Where do I live?", "Which city did I move to?")),
    ("I moved to {city} in [{year}].", ("When did I move to {city}?", "What year did I move?")),
    (
        "My phone number is [{phone}].",
        ("What is my phone number?", "How can I be reached by phone?"),
    ),
)

_BRACKETS = str.maketrans("", "", "[]")


def statement_items(count: int, seed: int) -> Iterator[tuple[Item, str]]:
    """`count` questions, each with a similar passage that does not answer it.

    A passage has one to six statements, one of them the answer. In the other passage the question's
    own words (whose dog, which lock) belong to somebody or something else.
    """
    random = Random(seed)
    for _ in range(count):
        chosen = random.sample(range(len(TEMPLATES)), random.randint(1, 6))
        asked = random.choice(chosen)
        values = _values(random)
        question = random.choice(TEMPLATES[asked][1])
        named = {slot for slot in values if "{" + slot + "}" in question}
        passage, span = "", (0, 0)
        for number in chosen:
            said, place = _said(number, values if number == asked else _values(random))
            if number == asked:
                span = (len(passage) + place[0], len(passage) + place[1])
            passage += said + random.choice((" ", "\n"))
        passage = passage.rstrip()
        answer = passage[span[0] : span[1]]
        item = Item("statements", "", question.format(**values), passage, (span,), (answer,))
        yield item, _unanswering(random, asked, values, named)


def _unanswering(random: Random, asked: int, values: dict[str, str], named: set[str]) -> str:
    """Statements about other things; of the same form only if the question names its subject."""
    forms = [n for n in range(len(TEMPLATES)) if n != asked]
    chosen = random.sample(forms, random.randint(1, 5))
    if named:
        chosen.insert(random.randrange(len(chosen)), asked)
    else:
        alike = TEMPLATES[asked][0].translate(_BRACKETS)
        chosen = [n for n in chosen if TEMPLATES[n][0].translate(_BRACKETS) != alike] or chosen[:1]
    told = []
    for number in chosen:
        other = _values(random)
        while any(other[slot] == values[slot] for slot in named):
            other = _values(random)
        told.append(_said(number, other)[0])
    return random.choice((" ", "\n")).join(told)


def _said(number: int, values: dict[str, str]) -> tuple[str, tuple[int, int]]:
    """A statement and the position of its answer."""
    said = TEMPLATES[number][0].format(**values)
    place = said.index("["), said.index("]") - 1
    return said.translate(_BRACKETS), place


def _values(random: Random) -> dict[str, str]:
    values = {name: random.choice(options) for name, options in SLOTS.items()}
    digits = [str(random.randrange(10)) for _ in range(9)]
    return values | {
        "code": "".join(digits[: random.randint(2, 6)]),
        "number": str(random.randint(2, 40)),
        "year": str(random.randint(1970, 2025)),
        "phone": f"0{''.join(digits[:3])} {''.join(digits[3:])}",
    }
