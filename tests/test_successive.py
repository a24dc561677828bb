"""Follow-up questions written by a model: their results, their cost, and when they stop."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import memagent
from memagent.agent.graph import Agent
from memagent.agent.session import ASK_SESSION, Session
from memagent.engines.pocket.engine import PocketEngine
from memagent.engines.scripted import Reply, ScriptedEngine
from memagent.errors import EngineError
from memagent.memory.index.embedder import Embedder
from memagent.memory.namespace import Namespace
from memagent.settings import Settings
from memagent.types import Answer, Piece, Usage
from tests.conftest import Run

QUESTION = "Which animal is kept by the winner of the regatta of 1987?"
FIRST = "The regatta of 1987 was won by Mina Dahl."
SECOND = "At six, before the bakery opens and the trams run, Pontus purrs until Mina Dahl is awake."
FILLERS = [
    f"The winner of the regatta of {1990 + n} keeps an animal, a dog called number {n}."
    for n in range(12)
]
NEXT = "Who wakes Mina Dahl?"
ANSWER = f'"{FIRST}" [1] "{SECOND}" [2]'
BUDGET = 80


def ask(memory: Namespace, *replies: Reply, hops: int = 2) -> tuple[Answer, ScriptedEngine]:
    for name, text in (("races", FIRST), ("town", SECOND), ("later", "\n\n".join(FILLERS))):
        source, _ = memory.sources.begin_document(name, name, None, "text/plain")
        pieces = [Piece(part) for part in text.split("\n\n")]
        memory.add_pieces(source, pieces, lambda spans, chars: None)
    engine = ScriptedEngine(replies)
    agent = Agent(memory, engine, Settings(engine="scripted", budget=BUDGET, hops=hops))
    return Session(agent, ASK_SESSION, remembered=False).ask(QUESTION), engine


def test_the_second_passage_is_found_by_the_models_question(memory: Namespace) -> None:
    answer, engine = ask(memory, NEXT, "nothing", ANSWER)
    assert [(c.verified, c.text) for c in answer.citations] == [(True, FIRST), (True, SECOND)]
    assert answer.text == ANSWER
    assert answer.explain["questions"] == [NEXT]
    assert SECOND not in {event.text for event in memory.recall(QUESTION, budget=BUDGET).events}
    first, second, last = (request.messages[-1].content for request in engine.requests)
    assert FIRST in first
    assert SECOND not in first
    assert f"- {NEXT}" not in first
    assert SECOND in second
    assert f"- {NEXT}" in second
    assert last.endswith(QUESTION)
    assert "Do not answer" not in last
    assert [bool(request.tools) for request in engine.requests] == [False, False, True]


def test_all_calls_are_counted_and_the_budget_is_shared(memory: Namespace) -> None:
    answer, engine = ask(memory, NEXT, "Which bakery opens at six?", "Which pier?", ANSWER, hops=3)
    assert len(engine.requests) == 4
    assert answer.usage == Usage(
        sum(engine.count_prompt(request.messages) for request in engine.requests),
        sum(map(engine.count, (*answer.explain["questions"], answer.text))),
    )
    chosen = answer.explain["chosen"]
    assert sum(line["tokens"] for line in chosen) == answer.explain["spent"] <= BUDGET
    assert {"races", "town"} <= {line["source"] for line in chosen}
    left_out = [(line["source"], line["start"]) for line in answer.explain["left_out"]]
    assert len(set(left_out)) == len(left_out)
    assert not set(left_out) & {(line["source"], line["start"]) for line in chosen}


@pytest.mark.parametrize("hops", [0, 1])
def test_no_more_rounds_than_were_asked_for(memory: Namespace, hops: int) -> None:
    answer, engine = ask(memory, *[NEXT] * hops, "Mina Dahl.", hops=hops)
    assert answer.explain["questions"] == [NEXT] * hops
    assert len(engine.requests) == hops + 1


@pytest.mark.parametrize(
    "said",
    [
        "",
        " \n ",
        "nothing",
        "It is Pontus.",
        f"  {QUESTION.upper()}",
        "Where was Ann Roe born?",
        f"Which of {'them or ' * 60} these?",
    ],
)
def test_a_reply_that_is_no_new_short_question_ends_the_rounds(
    memory: Namespace, said: str
) -> None:
    answer, engine = ask(memory, said, "Pontus.")
    assert (answer.text, answer.explain["questions"]) == ("Pontus.", [])
    assert len(engine.requests) == 2
    plain = memory.recall(QUESTION, budget=BUDGET)
    assert set(engine.requests[-1].evidence) == set(plain.events)


def test_a_question_asked_before_ends_the_rounds(memory: Namespace) -> None:
    answer, engine = ask(memory, f'1. Dahl\n- "{NEXT}"\n- Why?', NEXT.lower(), ANSWER, hops=5)
    assert answer.explain["questions"] == [NEXT]
    assert len(engine.requests) == 3


def test_a_lost_server_is_the_usual_error(memory: Namespace) -> None:
    with pytest.raises(EngineError, match="the server is down"):
        ask(memory, NEXT, EngineError("the server is down"))


def test_a_reader_says_once_that_it_cannot_write(
    memory: Namespace, embedder: Embedder, caplog: pytest.LogCaptureFixture
) -> None:
    agent = Agent(memory, PocketEngine(embedder), Settings(hops=2))
    talk = Session(agent, "talk")
    talk.ask("My cat is called Biscuit.")
    answer = Session(agent, "later").ask("What is my cat called?")
    assert "Biscuit" in answer.text
    assert answer.explain["questions"] == []
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("hops needs a model that writes")
    caplog.clear()


Scripted = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def scripted(run: Run, tmp_path: Path) -> Scripted:
    """Run the program with these replies over a store of three documents."""
    for name, text in (("races", FIRST), ("town", SECOND), ("later", "\n\n".join(FILLERS))):
        assert run("add", "-", "--name", name, stdin=text).returncode == 0

    def call(
        *arguments: str, replies: list[dict[str, Any]], stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "script.jsonl"
        script.write_text("".join(json.dumps(reply) + "\n" for reply in replies))
        engine = {"MEMAGENT_ENGINE": "scripted", "MEMAGENT_SCRIPT": str(script)}
        return run(*arguments, "--budget", str(BUDGET), stdin=stdin, **engine)

    return call


REPLIES = [{"text": NEXT}, {"text": "nothing"}, {"text": ANSWER}]


def test_the_program_answers_over_two_documents(scripted: Scripted, run: Run) -> None:
    asked = scripted("ask", QUESTION, "--hops", "2", "--json", "--explain", replies=REPLIES)
    assert asked.returncode == 0, asked.stderr
    answer = json.loads(asked.stdout)
    schema = Path(memagent.__file__).parent / "schemas" / "answer.json"
    jsonschema.validate(answer, json.loads(schema.read_text()))
    assert [(c["verified"], c["source"]) for c in answer["citations"]] == [
        (True, "races"),
        (True, "town"),
    ]
    assert answer["explain"]["questions"] == [NEXT]
    assert answer["explain"]["spent"] <= answer["explain"]["budget"] == BUDGET

    plain = scripted("ask", QUESTION, "--hops", "2", "--explain", replies=REPLIES)
    assert plain.stdout == f"{ANSWER}\n"
    assert f"\nlooked up: {NEXT}\n" in plain.stderr

    without = scripted("ask", QUESTION, "--json", "--explain", replies=[{"text": ANSWER}])
    assert "town" not in {
        line["source"] for line in json.loads(without.stdout)["explain"]["chosen"]
    }

    talked = scripted("chat", "-s", "talk", "--hops", "1", replies=REPLIES[::2], stdin=QUESTION)
    assert ANSWER in talked.stdout
    down = scripted("ask", QUESTION, "--hops", "2", replies=[{"error": "the server is down"}])
    assert (down.returncode, down.stdout) == (4, "")
    assert down.stderr == "memagent: the server is down\n"


def test_the_program_skips_follow_ups_without_a_generating_engine(run: Run) -> None:
    run("add", "-", "--name", "races", stdin=FIRST)
    for command, stdin in (("ask", ""), ("chat", "Who won the regatta of 1987?")):
        question = [] if stdin else ["Who won the regatta of 1987?"]
        done = run(command, *question, stdin=stdin, MEMAGENT_HOPS="2")
        assert done.returncode == 0, done.stderr
        assert "Mina Dahl" in done.stdout
        said = [line for line in done.stderr.splitlines() if "hops" in line]
        assert len(said) == 1
        assert said[0].startswith("memagent: hops needs a model that writes, and pocket only")
    refused = run("ask", "Who?", "--hops", "-1")
    assert refused.returncode == 2
    assert refused.stderr == "memagent: hops must be at least 0, not -1\n"
