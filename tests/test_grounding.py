"""Whether an answer of a model counts as found in memory."""

from __future__ import annotations

from memagent.agent.graph import Agent
from memagent.agent.session import ASK_SESSION, Session
from memagent.engines.scripted import Line, ScriptedEngine
from memagent.memory.namespace import Namespace
from memagent.settings import Settings
from memagent.types import Answer, Piece

NOTES = "The pier was rebuilt by Ada Lund in 1987. Linnea Roos has two kids, Alva and Tor."


def ask(
    memory: Namespace, question: str, *lines: str | Line, verify: bool = False
) -> tuple[Answer, ScriptedEngine]:
    """The answer to a single question about the notes."""
    if not memory.sources.all("document"):
        source, _ = memory.sources.begin_document("notes", NOTES, None, "text/plain")
        memory.add_pieces(source, [Piece(NOTES)], lambda spans, chars: None)
    engine = ScriptedEngine(list(lines))
    agent = Agent(memory, engine, Settings(verify=verify))
    return Session(agent, ASK_SESSION, remembered=False).ask(question), engine


def test_an_answer_without_markers_shows_the_text_behind_it(memory: Namespace) -> None:
    answer, engine = ask(memory, "Who rebuilt the pier?", "It was rebuilt by Ada Lund.")
    assert answer.found and len(engine.requests) == 1
    assert [cited.text for cited in answer.citations] == [
        "The pier was rebuilt by Ada Lund in 1987."
    ]


def test_an_answer_that_no_text_supports_is_not_found(memory: Namespace) -> None:
    answer, _ = ask(memory, "Who rebuilt the pier?", "A blacksmith from Ghent did.")
    assert not answer.found
    assert answer.text == "A blacksmith from Ghent did."


def test_an_answer_about_a_name_that_is_not_stored_is_not_found(memory: Namespace) -> None:
    answer, _ = ask(memory, "Who rebuilt the pier in Rotterdam?", "Ada Lund in 1987.")
    assert answer.citations and not answer.found


def test_a_check_decides_whether_the_cited_text_answers(memory: Namespace) -> None:
    question = "What is the name of Linnea Roos's husband?"
    said = "Her husband is called Tor."
    yes, engine = ask(memory, question, said, "Yes.", verify=True)
    assert yes.found and len(engine.requests) == 2
    shown = engine.requests[1].messages[-1].content
    assert "Alva and Tor" in shown and question in shown
    assert not engine.requests[1].tools
    no, _ = ask(memory, question, said, "No", verify=True)
    assert not no.found and no.citations
    assert {"step": "verify", "found": False, "uncertainty": None} in no.explain["trace"]
    unsure, _ = ask(memory, question, said, Line("Yes", uncertainty=0.69), verify=True)
    assert not unsure.found


def test_a_refusal_is_not_checked(memory: Namespace) -> None:
    answer, engine = ask(memory, "Who is Ada Lund?", "The notes do not say.", verify=True)
    assert not answer.found and len(engine.requests) == 1


def test_a_conversation_is_not_checked(memory: Namespace) -> None:
    engine = ScriptedEngine(["Nice to meet you."])
    answer = Session(Agent(memory, engine, Settings(verify=True)), "talk").ask("Hello, I am Kim.")
    assert answer.found and answer.citations == () and len(engine.requests) == 1
