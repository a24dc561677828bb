"""The real program: how an answer ended on stderr, in JSON, batch rows and sessions."""

import json
from pathlib import Path
from typing import Any

import pytest

from memagent.memory.store.database import Store
from tests.batch.batches import conforms, results_of
from tests.conftest import Run
from tests.engines.loopback import Loopback, deltas, events

THOUGHT = "zephyrine"
LINES: tuple[dict[str, Any], ...] = (
    {"match": "cut", "text": "The boat left at", "finish": "length"},
    {"match": "empty", "text": ""},
    {"match": "spent", "text": "", "thinking": f"A {THOUGHT} boat?", "finish": "length"},
    {"match": "filtered", "text": "", "finish": "refused"},
    {"match": "half", "text": "The boat", "finish": "refused"},
    {"match": "fine", "text": "At noon.", "thinking": f"A {THOUGHT} noon."},
)


@pytest.fixture
def script(tmp_path: Path) -> dict[str, str]:
    return write_script(tmp_path, *LINES)


def write_script(tmp_path: Path, *lines: dict[str, Any]) -> dict[str, str]:
    path = tmp_path / "script.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {"MEMAGENT_ENGINE": "scripted", "MEMAGENT_SCRIPT": str(path)}


def warnings(stderr: str) -> list[str]:
    """The lines on stderr about the answer's end, without those about its sources."""
    others = (
        "is empty: put something in",
        "[?]",
        "nothing stored supports",
        "the cited text may not",
    )
    return [line for line in stderr.splitlines() if not any(each in line for each in others)]


def test_ask_says_how_the_answer_ended(run: Run, script: dict[str, str]) -> None:
    cut = run("ask", "cut", "--max-tokens", "99", **script)
    assert (cut.returncode, cut.stdout) == (0, "The boat left at\n")
    (line,) = warnings(cut.stderr)
    assert "cut at 99 tokens" in line and "--max-tokens" in line

    empty = run("ask", "empty", **script)
    assert (empty.returncode, empty.stdout) == (1, "")
    (line,) = warnings(empty.stderr)
    assert "gave no answer" in line

    spent = run("ask", "spent", "--json", **script)
    assert spent.returncode == 1
    value = json.loads(spent.stdout)
    assert conforms("answer", value)
    assert (value["text"], value["ended"], value["state"]) == ("", "thinking", "partial")
    assert value["thinking"] == f"A {THOUGHT} boat?"
    (line,) = warnings(spent.stderr)
    assert "--thinking off" in line and THOUGHT not in line

    fine = run("ask", "fine", "--thinking", "low", **script)
    assert (fine.returncode, fine.stdout, warnings(fine.stderr)) == (0, "At noon.\n", [])
    wrong = run("ask", "fine", "--thinking", "loud", **script)
    assert wrong.returncode == 2
    assert "thinking must be one of auto, off, low, high" in wrong.stderr


def test_a_batch_row_says_how_its_answer_ended(
    run: Run, script: dict[str, str], tmp_path: Path
) -> None:
    names = ["cut", "empty", "spent", "filtered", "half", "fine"]
    rows = [{"id": name, "op": "ask", "question": name} for name in names]
    rows.append({"id": "chat", "op": "chat", "session": "s", "text": "empty"})
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run("run", "rows.jsonl", "--out", "out.jsonl", **script)
    assert done.returncode == 6
    found = {row["id"]: row for row in results_of(tmp_path / "out.jsonl")}
    assert list(found) == [*names, "chat"]
    ended = {
        name: row.get("ended", row.get("result", {}).get("ended")) for name, row in found.items()
    }
    assert ended == {
        "cut": "length",
        "empty": "empty",
        "spent": "thinking",
        "filtered": "refused",
        "half": "refused",
        "fine": "stop",
        "chat": "empty",
    }
    failed = {name for name, row in found.items() if row["status"] == "error"}
    assert failed == {"empty", "spent", "filtered", "chat"}
    assert all("gave no answer" in found[name]["error"] for name in failed - {"filtered"})
    assert found["fine"]["result"]["thinking"] == f"A {THOUGHT} noon."
    again = run("run", "rows.jsonl", "--out", "out.jsonl", "--resume", **script)
    assert again.returncode == 6
    assert "7 already finished" in again.stderr
    assert THOUGHT.encode() not in (tmp_path / "memory.db").read_bytes()


def test_a_chat_goes_on_with_what_was_cut(run: Run, tmp_path: Path, store: Store) -> None:
    script = write_script(
        tmp_path,
        {"match": "count", "text": "one two", "finish": "length", "thinking": f"{THOUGHT}?"},
        {"match": "count", "text": "three."},
        {"match": "again", "text": ""},
        {"match": "again", "text": "Here."},
    )
    turns = (
        "/continue", "count", "/continue", "/continue", "again", "/retry", "/thinking", "/thinking",
        "/thinking off", "/thinking loud", "/help",
    )  # fmt: skip
    done = run("chat", "-s", "talk", stdin="\n".join(turns) + "\n", **script)
    assert done.stdout == "one two\nthree.\nHere.\n"
    messages = [line.removeprefix("memagent: ") for line in done.stderr.splitlines()]
    assert messages[:8] == [
        "this session has no turn yet",
        "the answer was cut at 512 tokens: /continue in a chat goes on, or raise --max-tokens",
        "there is nothing to continue: the last answer is complete",
        "the model gave no answer: ask again, raise --max-tokens, or choose another model with "
        "--model",
        "(thinking is hidden; the model is asked for: auto)",
        "(thinking is shown; the model is asked for: auto)",
        "(thinking is shown; the model is asked for: off)",
        "/thinking takes show, hide, auto, off, low, high or nothing, not 'loud'",
    ]
    assert any(line.startswith("/continue ") for line in messages)
    assert done.returncode == 2
    assert THOUGHT not in done.stdout + done.stderr

    session = store.rows("SELECT text FROM spans WHERE withdrawn IS NULL ORDER BY ordinal")
    assert [row["text"] for row in session] == ["count", "one two", " three.", "again", "Here."]
    shown = json.loads(run("sessions", "show", "talk", "--json").stdout)
    assert [span["ended"] for span in shown] == [None, None, "stop", "empty", "stop"]
    assert "user (no answer)" in run("sessions", "show", "talk").stdout


def test_twenty_turns_with_a_thinking_server(run: Run, tmp_path: Path) -> None:
    """The thinking of the server is in no later prompt, nor in the store, nor in the text."""

    def thinking(turn: int) -> list[dict[str, Any]]:
        thought = f"The {THOUGHT} thought {turn}."
        if turn % 2:
            return deltas(f"<think>\n{thought}", "\n</think>\n\n", f"Answer {turn}.")
        parts = deltas(f"Answer {turn}.")
        parts.insert(0, {"choices": [{"index": 0, "delta": {"reasoning_content": thought}}]})
        return parts

    with Loopback(max_model_len=8192) as server:
        route = "POST /v1/chat/completions"
        server.on(route, *(events(thinking(turn)) for turn in range(22)))
        turns = "".join(f"Question {turn}?\n" for turn in range(20))
        where = ("--engine", "vllm", "--url", server.url)
        done = run("chat", "-s", "talk", *where, stdin=turns)
        assert done.stdout == "".join(f"Answer {turn}.\n" for turn in range(20))
        assert THOUGHT not in done.stderr
        for turn in (20, 21):
            asked = run("ask", "-s", "talk", "--json", *where, "And now?")
            value = json.loads(asked.stdout)
            assert value["text"] == f"Answer {turn}."
            assert value["thinking"].strip() == f"The {THOUGHT} thought {turn}."
        sent = server.bodies(route)
    assert len(sent) == 22
    assert "Answer 19." in json.dumps(sent[-1])
    assert THOUGHT not in json.dumps(sent)
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or THOUGHT.encode() not in path.read_bytes()
