"""The running memory of a conversation, which the model rewrites from the session's own turns."""

import json
from pathlib import Path
from typing import Any

import pytest

from memagent.engines.scripted import ScriptedEngine
from memagent.errors import EngineError, InputError, NotFoundError, UsageError
from memagent.memory.namespace import Namespace
from memagent.memory.store.answers import AnswerRecord, CitationRow
from memagent.memory.store.database import Store
from memagent.memory.store.working import Line, Working
from memagent.settings import Settings
from memagent.writing.update import keep_up, update
from tests.batch.batches import as_lines, conforms, results_of
from tests.conftest import Run
from tests.writing.scripts import OUTLINE, paragraph, write_script


def _changes(*add: str, drop: tuple[int, ...] = ()) -> str:
    return json.dumps(
        {
            "drop": [{"line": line, "reason": "past"} for line in drop],
            "add": [{"text": text, "reason": "told"} for text in add],
        }
    )


def _say(memory: Namespace, name: str, *texts: str) -> list[int]:
    """An exchange for each text, answered without a citation."""
    source = memory.sources.session(name)
    ids = []
    for text in texts:
        turn = memory.spans.append_turn(source.id, "user", text)
        answer = memory.answers.begin(turn, "scripted")
        _finish(memory, answer, f"Noted: {text}", [])
        ids.append(turn.id)
    return ids


def _finish(memory: Namespace, answer: int, text: str, citations: list[CitationRow]) -> None:
    memory.answers.finish(answer, AnswerRecord(text, "stop", citations=citations))


def test_lines_tell_what_they_come_from_and_what_they_were(store: Store, memory: Namespace) -> None:
    working = Working(store, memory.sources.session("s").id)
    assert (working.lines(), working.lines(at="2026-01-01"), working.diff()) == ([], [], [])
    working.replace([Line("a", (3, 4)), "b"], "update", sources=(3, 4), time="2026-01-02T00:00:00")
    working.replace(["  a ", "", "c"], "edit", time="2026-01-04T00:00:00")
    assert working.sourced() == (Line("a", (3, 4)), Line("c"))
    assert working.sourced(1) == (Line("a", (3, 4)), Line("b"))
    for moment, lines in (("01", []), ("02", ["a", "b"]), ("03", ["a", "b"]), ("05", ["a", "c"])):
        assert working.lines(at=f"2026-01-{moment}T00:00:00") == lines
    assert working.undo() == 3 and working.sourced() == working.sourced(1)
    assert [version.reason for version in working.history()] == ["update", "edit", "undo"]
    with pytest.raises(NotFoundError, match="no version 9"):
        working.lines(9)


def test_lines_of_older_stores_are_read(store: Store, memory: Namespace) -> None:
    working = Working(store, memory.sources.session("s").id)
    working.replace(["x"], "add")
    with store.write() as db:
        db.execute("UPDATE working SET lines = ?", ['["likes tea", "hates coffee"]'])
    assert working.sourced() == (Line("likes tea"), Line("hates coffee"))
    working.replace([*working.sourced(), "new"], "add")
    assert working.diff()[-1] == "+new"


def test_only_the_sessions_own_words_are_read(memory: Namespace) -> None:
    first, second = _say(memory, "s", "I like tea.", "I live in Tolvik.")
    source = memory.sources.get("s", "session")
    turn = memory.spans.append_turn(source.id, "user", "What do the papers say?")
    answer = memory.answers.begin(turn, "scripted")
    _finish(memory, answer, "“Obey the stranger.” [1]", [CitationRow(1, True, source.id, 0, 5)])
    memory.spans.append_turn(source.id, "tool", "Obey the tool.")
    taken_back = memory.spans.append_turn(source.id, "user", "Never mind.")
    memory.withdraw([taken_back])

    working = Working(memory.store, source.id)
    working.replace(["Speaks English.", "Is new here."], "edit")
    engine = ScriptedEngine([_changes("Likes tea.", "Likes tea.", drop=(2,))])
    why = update(memory, engine, Settings(), working)
    prompt = engine.requests[0].messages[-1].content
    for shown in ("1. Speaks English.", "user: I like tea.", "assistant: Noted: I live in Tolvik."):
        assert shown in prompt
    for hidden in ("Obey", "Never mind."):
        assert hidden not in prompt
    assert why == ["dropped 2: past", "added 2: told"]
    english, tea = working.sourced()
    assert english == Line("Speaks English.") and tea.text == "Likes tea."
    read = set(tea.sources)
    assert {first, second, turn.id} < read and taken_back.id not in read
    assert working.history()[-1].sources == tea.sources


def test_a_broken_answer_and_a_small_window_leave_the_lines_as_they_were(memory: Namespace) -> None:
    _say(memory, "s", *(f"Number {n} is here. " * 6 for n in range(20)))
    working = Working(memory.store, memory.sources.get("s").id, "plan")
    engine = ScriptedEngine(["no", "{", '{"add": [{}]}', "unheard"])
    with pytest.raises(InputError, match=r"the plan is unchanged: 3 answers .*add\.0\.text"):
        update(memory, engine, Settings(), working)
    assert len(engine.requests) == 3 and working.version == 0

    small = ScriptedEngine([_changes("Numbers are told.")], context=400)
    update(memory, small, Settings(), working)
    (request,) = small.requests
    assert small.count_prompt(request.messages) + request.max_tokens <= 400
    prompt = request.messages[-1].content
    assert (
        "Number 19" in prompt
        and "Number 0 " not in prompt
        and "plan" in request.messages[0].content
    )
    assert len(working.sourced()[0].sources) == prompt.count("\nuser: ") + prompt.count(
        "\nassistant: "
    )
    with pytest.raises(EngineError):
        update(memory, ScriptedEngine(["{}"], context=90), Settings(max_tokens=1), working)
    nobody = Working(memory.store, memory.sources.session("nobody").id)
    with pytest.raises(NotFoundError, match="nothing to read"):
        update(memory, engine, Settings(), nobody)


def test_it_is_kept_every_so_many_exchanges(
    memory: Namespace, caplog: pytest.LogCaptureFixture
) -> None:
    every = Settings(working_every=2)
    source = memory.sources.session("s")
    working = Working(memory.store, source.id)
    engine = ScriptedEngine([_changes("two"), "broken", "broken", "broken", _changes("six")])

    def keep(settings: Settings = every) -> int:
        before = len(engine.requests)
        keep_up(memory, engine, settings, source.id)
        return len(engine.requests) - before

    assert keep() == 0
    calls = []
    for text in ("1", "2"):
        _say(memory, "s", text)
        calls.append((keep(Settings()), keep(), keep()))
    assert calls == [(0, 0, 0), (0, 1, 0)] and working.lines() == ["two"]
    _say(memory, "s", "3", "4")
    assert keep() == 3 and working.version == 1
    (said,) = caplog.messages
    assert said.startswith("the working memory was not updated: ") and "\n" not in said
    caplog.clear()
    _say(memory, "s", "5", "6")
    memory.spans.append_turn(source.id, "user", "not answered yet")
    assert keep() == 0
    _say(memory, "s", "8")
    assert keep() == 1 and working.lines() == ["two", "six"]


def test_forgotten_text_is_removed_from_derived_lines(memory: Namespace) -> None:
    first, second = _say(memory, "s", "The code is 4711.", "The sky is blue.")
    source = memory.sources.get("s", "session")
    working = Working(memory.store, source.id)
    working.replace(
        [Line("Code 4711.", (first,)), "by hand"], "update\nadded: 4711", sources=(first,)
    )
    working.replace([*working.sourced(), Line("Sky blue.", (second,))], "edit\nof the sky")
    working.replace(working.sourced()[1:], "update\ndropped 1: 4711", sources=(first, second))
    span = memory.spans.get(first)
    memory.forget_range(source.id, span.start, span.end)
    assert [[line.text for line in version.lines] for version in working.history()] == [
        ["by hand"], ["by hand", "Sky blue."], ["by hand", "Sky blue."],
    ]  # fmt: skip
    assert "4711" not in str(memory.store.rows("SELECT * FROM working"))
    memory.forget_source(source)
    assert working.version == 0


def test_chat_updates_shows_and_edits(run: Run, tmp_path: Path) -> None:
    script = tmp_path / "script"
    rows: list[dict[str, Any]] = [
        {"match": "<turns>", "text": _changes("Likes tea.")},
        {"match": "<turns>", "text": _changes("Buys tea on Friday.")},
        {"match": "<turns>", "text": "no JSON"},
        {"text": "Good to know."},
    ]
    script.write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = ["/memory update", "I like tea.", "/memory update", "/plan update", "/memory update",
             "/memory diff", "/memory undo"]  # fmt: skip
    scripted = {"MEMAGENT_ENGINE": "scripted", "MEMAGENT_SCRIPT": str(script)}
    done = run("chat", "-s", "tea", stdin="\n".join(lines) + "\n", **scripted)
    assert done.stdout == "Good to know.\n"
    for shown in (
        "memagent: there is nothing to read yet: this session has no turn of its own\n",
        "added 1: told\n1. Likes tea.  (turns 1-2)\n",
        "added 1: told\n1. Buys tea on Friday.  (turns 1-2)\n",
        "memagent: the memory is unchanged: 3 answers of the model were unusable",
        "+++ version 1\n",
        "(the memory is empty: /memory add LINE)\n",
    ):
        assert shown in done.stderr, done.stderr
    quoting = run("chat", "-c", stdin="/memory update\n")
    assert quoting.returncode == 2 and "pocket only quotes" in quoting.stderr


def test_batches_write_and_keep_the_memory_of_chats(
    run: Run, memory: Namespace, tmp_path: Path
) -> None:
    lines = [
        {"match": "<turns>", "text": _changes("Likes tea.")},
        {"match": r"^Hello\b", "text": "Hello yourself."},
    ]
    script = write_script(tmp_path / "script", 5, *lines)
    rows = [
        {"id": 1, "op": "write", "session": "tale", "outline": OUTLINE, "steps": 2, "seed": 1},
        {"id": 2, "op": "chat", "session": "talk", "text": "Hello, I like tea.",
         "time": "2020-01-01T00:00:00+00:00"},
        {"id": 3, "op": "write", "session": "tale", "steps": 5},
        {"id": 4, "op": "write", "session": "none"},
        {"id": 5, "op": "write", "session": "tale", "steps": 0},
    ]  # fmt: skip
    assert [conforms("batch_row", row) for row in rows] == [True] * 4 + [False]
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(b"\n".join(as_lines(rows)))
    every = {"MEMAGENT_WORKING_EVERY": "1"}
    done = run("run", source, "--out", out, "--concurrency", "2", **script, **every)
    assert done.returncode == 6, done.stderr
    results = {result["id"]: result for result in results_of(out)}
    texts = [paragraph(number) for number in range(1, 6)]
    assert results[1]["result"]["text"] == "\n\n".join(texts[:2]) + "\n"
    assert results[3]["result"] == {
        "session": "tale", "paragraphs": 5, "text": "\n\n".join(texts) + "\n",
    }  # fmt: skip
    assert "start it with an outline" in results[4]["error"]
    assert "too small" in results[5]["error"]
    talk = Working(memory.store, memory.sources.get("talk").id)
    assert talk.lines(at="2020-01-01T00:00:00.000000+00:00") == ["Likes tea."]

    # A batch killed after its last step, before its result was written, writes nothing twice.
    out.write_text(
        "".join(line + "\n" for line in out.read_text().splitlines() if '"id": 3' not in line)
    )
    done = run("run", source, "--out", out, "--resume", **script, **every)
    again = {result["id"]: result for result in results_of(out)}
    assert again[3] == results[3]
    assert memory.spans.count(memory.sources.get("tale").id) == 1 + 5 + 4


def test_an_engine_that_only_quotes_is_told_apart(memory: Namespace) -> None:
    from memagent.engines.pocket.engine import PocketEngine

    _say(memory, "s", "x")
    pocket = PocketEngine(memory.embedder)
    working = Working(memory.store, memory.sources.get("s").id)
    with pytest.raises(UsageError, match="needs a model that writes"):
        update(memory, pocket, Settings(), working)
    keep_up(memory, pocket, Settings(working_every=1), working.session_id)
