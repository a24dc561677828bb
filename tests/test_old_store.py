"""A store written before migration 6 opens, answers, continues, forgets and resumes.

`data/old_store.db.xz` was written by the program before migration 6, with the scripted and pocket
engines: two documents, one of them updated; statements of which one supersedes another; the chat
"talk" with a tool call, working memory, a plan and an outline; the text "the map" of three steps;
and a batch that was killed after three of five rows. `data/old_store.json` holds what that program
showed of the store: every answer, the prompt of the next turn of "talk", and the batch's rows and
results.
"""

import json
import lzma
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from memagent.agent.graph import Agent, load_answer
from memagent.agent.reports import answer_object
from memagent.agent.session import Session
from memagent.engines.scripted import ScriptedEngine
from memagent.memory.namespace import Namespace
from memagent.memory.store.database import Store
from memagent.memory.store.forget import forget_source
from memagent.memory.store.working import Working
from memagent.settings import Settings
from tests.batch.batches import results_of
from tests.conftest import Run
from tests.writing.scripts import paragraph, write_script

DATA = Path(__file__).parent / "data"
# How an answer ended was not stored, and thinking never is.
NEW = {"ended": "stop", "thinking": None}
OLD: dict[str, Any] = json.loads((DATA / "old_store.json").read_text())


@pytest.fixture
def store(tmp_path: Path) -> Any:
    """The old store, where `memory` and `run` look for theirs."""
    path = tmp_path / "memory.db"
    path.write_bytes(lzma.decompress((DATA / "old_store.db.xz").read_bytes()))
    made = Store(path)
    yield made
    made.close()


def test_answers_are_shown_as_before(memory: Namespace) -> None:
    ids = [row["id"] for row in memory.store.rows("SELECT id FROM answers ORDER BY id")]
    shown = [answer_object(load_answer(memory, answer), explain=True) for answer in ids]
    expected = [{**answer, **NEW} for answer in OLD["answers"]]
    # The killed batch left one answer unfinished.
    expected[-1]["ended"] = "interrupted"
    assert json.loads(json.dumps(shown)) == expected
    assert any(answer["outline"] for answer in shown)
    assert any(cited["valid_until"] for answer in shown for cited in answer["citations"])


def test_a_chat_continues_with_the_same_prompt(memory: Namespace) -> None:
    engine = ScriptedEngine(["Fine."])
    talk = Session(Agent(memory, engine, Settings(budget=90)), "talk")
    talk.ask("When does the ferry leave on Sundays?")
    sent = [[message.role, message.content] for message in engine.requests[0].messages]
    # The instructions are the program's; the conversation is the store's.
    assert sent[1:-1] == OLD["prompt"][1:-1]
    assert sent[-1][1].endswith("When does the ferry leave on Sundays?")


def test_working_memory_and_plan_have_their_versions(memory: Namespace) -> None:
    talk = memory.sources.get("talk", "session").id
    notes, plan = Working(memory.store, talk), Working(memory.store, talk, "plan")
    assert [[line.text for line in version.lines] for version in notes.history()] == [
        ["The user is a pilot."],
        ["The user is a pilot.", "The user likes tea."],
        ["The user likes tea."],
    ]
    assert plan.lines() == ["Ask about the reef."]


def test_questions_are_answered(store: Store, run: Run) -> None:
    assert run("ask", "What is the gate code?").stdout.startswith("9200\n")
    assert "blue cupboard" in run("ask", "Where is the spare key?").stdout


def test_forgotten_text_leaves_no_byte(memory: Namespace, tmp_path: Path) -> None:
    written = (tmp_path / "memory.db").read_bytes()
    assert b"It burned down in 1822" in written and b"The great fire" in written
    memory.catch_up()
    forget_source(memory.store, memory.events, memory.sources.get("mill.txt"))
    memory.purge()
    for path in tmp_path.rglob("*"):
        left = path.read_bytes() if path.is_file() else b""
        assert b"It burned down in 1822" not in left
        assert b"The great fire" not in left, "a heading over forgotten text"
    assert not any(
        load_answer(memory, row["id"]).outline
        for row in memory.store.rows("SELECT id FROM answers")
    )


def test_a_text_is_resumed(store: Store, run: Run, tmp_path: Path) -> None:
    script = write_script(tmp_path / "script", 4)
    done = run("write", "-c", "-s", "the map", "--auto", "--steps", 4, "--seed", 3, **script)
    assert done.returncode == 0, done.stderr
    whole = run("memory", "show", "the map").stdout
    assert [whole.count(paragraph(step)) for step in range(1, 5)] == [1, 1, 1, 1]


def test_a_batch_is_resumed(store: Store, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    with sqlite3.connect(tmp_path / "memory.db") as db:
        db.execute("UPDATE batches SET output = ? WHERE output LIKE '%/results.jsonl'", [str(out)])
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, OLD["rows"])))
    for row in OLD["results"]:
        if row["op"] == "ask":
            row["result"] |= NEW
    out.write_text("".join(json.dumps(row) + "\n" for row in OLD["results"]))
    done = run("run", "rows.jsonl", "--out", out, "--resume")
    assert done.returncode == 0, done.stderr
    assert [row["id"] for row in results_of(out)] == [row["id"] for row in OLD["rows"]]
    (turns,) = store.rows(
        "SELECT COUNT(*) AS n FROM spans WHERE text = 'What sleeps on the stove?'"
    )
    assert turns["n"] == 1, "the turn that was stored before the kill is not stored twice"
    assert "cat" in results_of(out)[3]["result"]["text"].lower()
