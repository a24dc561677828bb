"""The signals that rank events, over a real store with the real embedder."""

import numpy as np
import pytest

from memagent.memory.events import Filter
from memagent.memory.namespace import Namespace
from memagent.memory.recall.language.dates import mentions_time
from memagent.memory.recall.language.speakers import in_first_person, named_speakers, speaker
from memagent.memory.recall.pool import Pool


def say(
    memory: Namespace, session: str, *turns: str, time: str = "2026-02-01T12:00:00+00:00"
) -> None:
    source = memory.sources.session(session)
    for turn in turns:
        memory.spans.append_turn(source.id, "user", turn, time=time)


def best(memory: Namespace, question: str, **how: object) -> list[str]:
    found = memory.recall(question, budget=2000, **how)  # type: ignore[arg-type]
    return [hit.event.text for hit in found.best]


@pytest.mark.parametrize(
    ("opening", "name"),
    [
        ("Melanie: I went hiking.", "Melanie"),
        ("Anne-Marie O'Neil: yes", "Anne-Marie O'Neil"),
        ("\nProf. Müller: no", "Prof. Müller"),
        ("At 12:30 we left.", None),
        ("http://example.org is down", None),
        ("I thought about it for a long while and then: nothing", None),
        ("", None),
    ],
)
def test_a_turn_names_its_speaker(opening: str, name: str | None) -> None:
    assert speaker(opening) == name


def test_a_speaker_is_named_by_whole_words() -> None:
    assert named_speakers("What did jo tell Ann?", {"Jo", "Ann", "Anna"}) == {"Jo", "Ann"}
    assert in_first_person("What is Ann's dog, and does Ann like it?", {"Ann"}) == (
        "What is my dog, and does I like it?"
    )
    assert in_first_person("Anna's dog?", {"Ann"}) == "Anna's dog?"


def test_words_of_time() -> None:
    assert mentions_time("We met last Tuesday.")
    assert mentions_time("Built in 1874.")
    assert not mentions_time("The lasting peace was dull.")


def test_only_events_of_the_same_source_stand_around_one(memory: Namespace) -> None:
    say(memory, "a", *[f"Alpha {n}." for n in range(4)])
    say(memory, "b", *[f"Beta {n}." for n in range(3)])
    memory.catch_up()
    ids = [event.id for event in memory.events.after(0, 100)]
    pool = Pool(memory.events, [ids[3]])
    pool.read(memory.events, Filter())
    assert [event.text for event in pool.events] == ["Alpha 2.", "Alpha 3."]
    own = np.where(np.isin(pool.ids, ids[:4]), 1.0, 100.0)
    assert pool.spread(own, (0.5, 0.25), np.maximum).tolist() == [1.0, 1.0]
    # Two before the last one, none behind: the next ones are of the other source.
    added = pool.spread(np.stack([own, 2 * own], 1), (0.5, 0.25), np.add)
    assert added.tolist() == [[2.25, 4.5], [1.75, 3.5]]


def test_an_answer_without_a_word_of_the_question_comes_with_it(memory: Namespace) -> None:
    filler = [f"Ann: The weather on day {n} was as dull as ever." for n in range(40)]
    pair = ("Ann: Which instrument does your sister play?", "Bob: The oboe, since she was nine.")
    say(memory, "talk", *filler[:20], *pair, *filler[20:])
    found = best(memory, "Which instrument does Bob's sister play?")
    assert set(found[:2]) == set(pair)


def test_the_speaker_whom_a_question_names_comes_first(memory: Namespace) -> None:
    say(memory, "talk", "Ann: I adopted a grey cat.", "Bob: I adopted a grey cat.")
    assert best(memory, "Which cat did Bob adopt?")[0].startswith("Bob")
    assert best(memory, "Which cat did Ann adopt?")[0].startswith("Ann")


def test_of_two_similar_events_the_dated_one_comes_first(memory: Namespace) -> None:
    filler = [f"Bob: The weather in the hills was dull, {n} times over." for n in range(20)]
    say(
        memory,
        "talk",
        *filler,
        "Ann: We moved to the coast, all of us together.",
        *filler,
        "Ann: We moved to the coast last spring, in May.",
        *filler,
    )
    assert "May" in best(memory, "When did Ann move to the coast?")[0]


def test_neighbours_of_a_hit_pass_the_filter_too(memory: Namespace) -> None:
    for day in range(1, 8):
        say(
            memory, "talk", f"Ann: On day {day} we saw the zeppelin.",
            time=f"2026-02-0{day}T12:00:00+00:00",
        )  # fmt: skip
    where = Filter(since="2026-02-03T00:00:00", until="2026-02-05T00:00:00")
    found = best(memory, "zeppelin", where=where)
    assert sorted(text.split()[3] for text in found) == ["3", "4"]


def test_an_event_found_through_its_neighbours_says_so(memory: Namespace) -> None:
    filler = [f"Nothing happened in week {n}, as usual." for n in range(300)]
    say(memory, "talk", *filler[:150], "The zeppelin landed.", *filler[150:])
    chosen = memory.recall("zeppelin", budget=2000).chosen
    assert all((hit.via == "similarity") == bool(hit.ranks) for hit in chosen)
    (landed,) = [hit for hit in chosen if "zeppelin" in hit.event.text]
    assert landed.ranks["lexical"] == 1
