"""The prompt of a conversation is a log: earlier messages are sent again unchanged."""

from pathlib import Path

import pytest

from memagent.agent.graph import Agent
from memagent.agent.session import Session
from memagent.engines.scripted import Reply, ScriptedEngine
from memagent.memory.events import Filter
from memagent.memory.index.embedder import Embedder
from memagent.memory.namespace import Namespace
from memagent.memory.store.database import Store
from memagent.memory.store.working import Working
from memagent.settings import Settings
from memagent.types import Message, Piece, ToolCall

FACTS = [
    f"The {name} {what}."
    for name, what in (
        ("lighthouse", "was painted green in the spring of 1902"),
        ("harbour master", "keeps the spare key in the third drawer"),
        ("ferry", "leaves at seven and at noon, never on Sundays"),
        ("baker", "sells rye bread to the crew of the ferry"),
        ("library", "has a map of the reef that nobody may borrow"),
    )
]
QUESTIONS = [
    "Which colour has the lighthouse?",
    "Where is the spare key of the harbour master?",
    "When does the ferry leave?",
    "Who sells bread to the crew of the ferry?",
]


def told(memory: Namespace, facts: list[str] = FACTS) -> None:
    for number, text in enumerate(facts):
        source, _ = memory.sources.begin_document(f"note {number}", text, None, "text/plain")
        memory.add_pieces(source, [Piece(text)], lambda spans, chars: None)


def agent_of(
    memory: Namespace, *replies: Reply, context: int = 8192, **settings: int
) -> tuple[Agent, ScriptedEngine]:
    engine = ScriptedEngine(replies or ["Noted."], context=context)
    return Agent(memory, engine, Settings(**{"budget": 60, **settings})), engine  # type: ignore[arg-type]


def prompts(engine: ScriptedEngine) -> list[tuple[Message, ...]]:
    return [request.messages for request in engine.requests]


def test_each_prompt_begins_with_the_one_before_it_and_its_answer(memory: Namespace) -> None:
    told(memory)
    agent, engine = agent_of(memory, *[f"Answer {n} [1]." for n in range(4)])
    talk = Session(agent, "talk")
    for question in QUESTIONS:
        talk.ask(question)
    sent = prompts(engine)
    for n in range(1, 4):
        before = (*sent[n - 1], Message("assistant", f"Answer {n - 1} [1]."))
        assert sent[n][: len(before)] == before
        assert len(sent[n]) == len(before) + 1


def test_numbers_continue_and_events_are_not_sent_twice(memory: Namespace) -> None:
    told(memory)
    agent, engine = agent_of(memory, "One.", "Two.", "Three.")
    talk = Session(agent, "talk")
    for question in (QUESTIONS[0], QUESTIONS[1], QUESTIONS[0]):
        talk.ask(question)
    whole = "".join(message.content for message in prompts(engine)[-1])
    assert all(whole.count(fact) <= 1 for fact in FACTS)
    for request in engine.requests:
        text = "".join(message.content for message in request.messages)
        for number, event in enumerate(request.evidence, start=1):
            assert f"[{number}] {event.place}" in text
    first, second, third = (
        memory.answers.get(row["id"])["explain"]
        for row in memory.store.rows("SELECT id FROM answers ORDER BY id")
    )
    place = {line["source"]: line["number"] for line in first["chosen"]}
    assert {line["source"]: line["number"] for line in third["chosen"]}.items() >= place.items()
    assert second["log"]["begun"] == first["log"]["begun"] == 0
    assert "(further up: " in prompts(engine)[-1][-1].content


def test_another_process_goes_on_with_the_same_log(
    memory: Namespace, embedder: Embedder, tmp_path: Path
) -> None:
    told(memory)
    agent, engine = agent_of(memory, "One.")
    Session(agent, "talk").ask(QUESTIONS[0])
    other = Store(tmp_path / "memory.db")
    again = Namespace(other, "default", embedder, tmp_path / "other index")
    agent, later = agent_of(again, "Two.")
    Session(agent, "talk").ask(QUESTIONS[1])
    assert later.requests[0].messages[:2] == engine.requests[0].messages
    other.close()


def test_a_full_window_restarts_the_log_with_the_newest_turns(memory: Namespace) -> None:
    told(memory, [f"{fact} {fact}" for fact in FACTS])
    agent, engine = agent_of(
        memory, *["Words of an answer [1] " * 10] * 12, context=700, max_tokens=100
    )
    talk = Session(agent, "talk")
    begun = []
    for n in range(12):
        answer = talk.ask(QUESTIONS[n % 4])
        begun.append(answer.explain["log"]["begun"])
        assert engine.count_prompt(engine.requests[-1].messages) <= 600
    assert begun == sorted(begun)
    assert 1 < len(set(begun)) < 12
    anew = next(n for n in range(1, 12) if begun[n] != begun[n - 1])
    said = prompts(engine)[anew]
    # Words alone, without the numbers of a log that is gone.
    assert said[-2].content == ("Words of an answer " * 10).rstrip() + " "
    assert not any("<memory>" in message.content for message in said[1:-1])
    assert "[1] " in said[-1].content
    # Turns that are in no prompt any more can be recalled again.
    assert answer.explain["history_turns"] < 24


def test_turns_that_a_log_lost_are_recalled(memory: Namespace) -> None:
    agent, engine = agent_of(memory, "Fine.", context=700, max_tokens=100)
    talk = Session(agent, "talk")
    talk.ask("The zeppelin lands at noon.")
    for n in range(9):
        talk.ask(f"Filler {n}: " + "the weather is as it always was here in autumn. " * 8)
    talk.ask("When does the zeppelin land?")
    assert "The zeppelin lands at noon." in {event.text for event in engine.requests[-1].evidence}


def test_working_memory_is_shown_where_it_changed(memory: Namespace) -> None:
    told(memory)
    agent, engine = agent_of(memory, "Fine.")
    talk = Session(agent, "talk")
    working = Working(memory.store, talk.source.id)
    plan = Working(memory.store, talk.source.id, "plan")
    talk.ask(QUESTIONS[0])
    working.replace(["The user is a pilot."], "add")
    plan.replace(["Ask about the reef."], "add")
    talk.ask(QUESTIONS[1])
    talk.ask(QUESTIONS[2])
    working.replace([], "drop")
    talk.ask(QUESTIONS[3])
    turns = [prompt[-1].content for prompt in prompts(engine)]
    assert ["<working_memory>" in turn for turn in turns] == [False, True, False, True]
    assert ["<plan>" in turn for turn in turns] == [False, True, False, False]
    assert "1. The user is a pilot." in turns[1]
    assert "(empty)" in turns[3]
    last = prompts(engine)[-1]
    assert [m.content for m in last if m.role == "user"] == turns


def test_as_of_a_moment_working_memory_is_what_it_was(memory: Namespace) -> None:
    told(memory)
    agent, engine = agent_of(memory, "Fine.")
    talk = Session(agent, "talk")
    working = Working(memory.store, talk.source.id)
    working.replace(["The user is a pilot."], "add", time="2026-01-01T00:00:00+00:00")
    working.replace(["The user is a baker."], "edit", time="2026-05-01T00:00:00+00:00")
    talk.ask(QUESTIONS[0], where=Filter(as_of="2026-03-01T00:00:00+00:00"))
    talk.ask(QUESTIONS[0], where=Filter(as_of="2025-03-01T00:00:00+00:00"))
    talk.ask(QUESTIONS[1])
    turns = [prompt[-1].content for prompt in prompts(engine)]
    assert "The user is a pilot." in turns[0]
    assert "The user is" not in turns[1]
    assert "The user is a baker." in turns[2]


@pytest.mark.parametrize("back", ["undo", "retry"])
def test_withdrawn_turns_leave_the_log(memory: Namespace, back: str) -> None:
    told(memory)
    agent, engine = agent_of(memory, "One.", "Two.", "Three.")
    talk = Session(agent, "talk")
    talk.ask(QUESTIONS[0])
    talk.ask(QUESTIONS[1])
    if back == "retry":
        turn, answers = talk.last_exchange()
        memory.withdraw(answers)
        talk.answer(turn)
    else:
        talk.undo()
        talk.ask(QUESTIONS[1])
    assert prompts(engine)[2] == prompts(engine)[1]


def test_events_that_a_tool_found_keep_their_numbers(memory: Namespace) -> None:
    told(memory)
    look = (ToolCall("1", "search_memory", {"query": "map of the reef"}),)
    agent, engine = agent_of(memory, look, "It is in the library.", "Fine.")
    talk = Session(agent, "talk")
    answer = talk.ask(QUESTIONS[0])
    found = [line for line in answer.explain["chosen"] if line["number"]]
    assert answer.explain["log"]["looked_up"]
    talk.ask(QUESTIONS[1])
    evidence = engine.requests[-1].evidence
    for line in found:
        event = evidence[line["number"] - 1]
        assert (event.source_id, event.start, event.end) == (
            line["source_id"],
            line["start"],
            line["end"],
        )


def test_forgotten_text_leaves_every_later_prompt(memory: Namespace) -> None:
    told(memory)
    agent, engine = agent_of(memory, "One.")
    talk = Session(agent, "talk")
    talk.ask(QUESTIONS[1])
    assert any(FACTS[1] in message.content for message in prompts(engine)[0])
    source = memory.sources.get("note 1")
    memory.forget_range(source.id, 0, source.chars)
    memory.purge()
    talk.ask(QUESTIONS[2])
    assert not any("third drawer" in message.content for message in prompts(engine)[-1])
