"""A vote of chunks: which answer wins, its cost, and the case without an answer."""

from collections.abc import Callable

import pytest

from memagent.agent.graph import Agent
from memagent.agent.session import ASK_SESSION, Session
from memagent.engines.pocket.engine import PocketEngine
from memagent.engines.scripted import Line, ScriptedEngine
from memagent.errors import EngineError
from memagent.memory.index.embedder import Embedder
from memagent.memory.namespace import Namespace
from memagent.settings import Settings
from memagent.types import Answer, Piece, Request

KEY = "The spare key of the boathouse hangs behind the red door."
OTHERS = [
    f"The spare key of cabin {n} of the boathouse was lost, as so many a key in those years."
    for n in range(40)
]
QUESTION = "Where is the spare key of the boathouse?"
NOTHING = Line("Not in memory.", uncertainty=0.1)
BUDGET = 120


def ask(
    memory: Namespace, reply: Callable[[Request], Line], votes: int = 4
) -> tuple[Answer, Agent]:
    source, _ = memory.sources.begin_document("notes", "notes", None, "text/plain")
    pieces = [Piece(text) for text in [*OTHERS[:25], KEY, *OTHERS[25:]]]
    memory.add_pieces(source, pieces, lambda spans, chars: None)
    settings = Settings(engine="scripted", budget=BUDGET, votes=votes, contiguity=0.0)
    agent = Agent(memory, ScriptedEngine(reply), settings)
    return Session(agent, ASK_SESSION, remembered=False).ask(QUESTION), agent


def has_key(request: Request) -> bool:
    return any(event.text == KEY for event in request.evidence)


def requests_of(agent: Agent) -> list[Request]:
    assert isinstance(agent.engine, ScriptedEngine)
    return agent.engine.requests


def test_the_most_confident_chunk_wins_the_vote(memory: Namespace) -> None:
    def reply(request: Request) -> Line:
        if has_key(request):
            return Line("Behind the red door.", uncertainty=0.2)
        return Line("In cabin 7.", uncertainty=1.5)

    answer, agent = ask(memory, reply)
    sent = requests_of(agent)
    steps = [step for step in answer.explain["trace"] if step["step"] == "vote"]
    assert len(sent) == len(steps) + 1
    assert 3 <= len(steps) <= 5
    assert [step["uncertainty"] for step in steps if step["chosen"]] == [0.2]
    assert answer.text == "Behind the red door."
    assert has_key(sent[-1])
    # A server has read the winner's prompt already.
    winner = [request for request in sent[:-1] if has_key(request)]
    assert [request.messages for request in winner] == [sent[-1].messages]
    assert not sent[-1].tools
    assert all(request.uncertainty for request in sent[:-1])
    assert not sent[-1].uncertainty
    chunks = [request.evidence for request in sent[:-1]]
    ids = [event.id for chunk in chunks for event in chunk]
    assert len(set(ids)) == len(ids)
    assert answer.explain["spent"] <= BUDGET


def test_confident_chunks_without_an_answer_are_dropped(memory: Namespace) -> None:
    answer, _ = ask(
        memory, lambda asked: Line("The red door.", uncertainty=3.0) if has_key(asked) else NOTHING
    )
    assert answer.text == "The red door."
    assert answer.found
    steps = answer.explain["trace"]
    assert [step["chosen"] for step in steps] == [step["answers"] for step in steps]


def test_if_no_chunk_answers_the_best_match_is_used(memory: Namespace) -> None:
    answer, agent = ask(memory, lambda asked: NOTHING)
    assert (answer.text, answer.found) == ("Not in memory.", False)
    best = memory.recall(QUESTION, budget=BUDGET).best[0].event
    assert best in requests_of(agent)[-1].evidence


def test_few_events_need_no_vote(memory: Namespace) -> None:
    source, _ = memory.sources.begin_document("notes", "notes", None, "text/plain")
    memory.add_pieces(source, [Piece(KEY)], lambda spans, chars: None)
    engine = ScriptedEngine(["Behind the red door."])
    agent = Agent(memory, engine, Settings(engine="scripted", votes=8))
    Session(agent, ASK_SESSION, remembered=False).ask(QUESTION)
    assert len(engine.requests) == 1


def test_a_server_lost_in_the_vote_is_the_usual_error(memory: Namespace) -> None:
    with pytest.raises(EngineError, match="went away"):
        ask(memory, lambda asked: Line(EngineError("the server went away")))


def test_ctrl_c_in_the_vote_keeps_the_turn(memory: Namespace) -> None:
    def interrupt(request: Request) -> Line:
        raise KeyboardInterrupt

    answer, _ = ask(memory, interrupt)
    assert (answer.state, answer.text) == ("partial", "")


def test_an_engine_without_uncertainty_warns_and_skips_the_vote(
    memory: Namespace, embedder: Embedder, caplog: pytest.LogCaptureFixture
) -> None:
    agent = Agent(memory, PocketEngine(embedder), Settings(votes=4, outline=True))
    lines = caplog.messages
    assert len(lines) == 2
    assert lines[0].startswith("outline needs a model that writes, and pocket only quotes")
    assert lines[1].startswith("votes needs an engine that tells how uncertain it is")
    caplog.clear()
    Session(agent, "talk").ask("My cat is called Biscuit.")
    answer = Session(agent, ASK_SESSION, remembered=False).ask("What is my cat called?")
    assert "Biscuit" in answer.text
    assert answer.explain["trace"] == []
