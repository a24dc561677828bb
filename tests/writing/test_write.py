"""`memagent write` from the command line: sixty steps, kills, edits, errors."""

import json
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from memagent.memory.namespace import Namespace
from memagent.memory.store.working import MOST_LINES, MOST_WORDS, Working
from memagent.writing.book import Book
from tests.batch.batches import conforms
from tests.conftest import PROGRAM, Run
from tests.writing.scripts import FACT, OUTLINE, paragraph, reply, write_script


@pytest.fixture
def outline(tmp_path: Path) -> Path:
    path = tmp_path / "the map.md"
    path.write_text(OUTLINE)
    return path


def state(memory: Namespace, name: str) -> dict[str, Any]:
    """All that a text is made of, but for times; spans go by their keys."""
    source = memory.sources.get(name, "session")
    keys = memory.spans.keys(source.id)
    return {
        "turns": [
            (keys[span.id], span.role, span.text, span.withdrawn)
            for span in memory.spans.of(source.id)
        ],
        **{
            kind: [
                [(line.text, [keys[span] for span in line.sources]) for line in version.lines]
                + [version.reason]
                for version in Working(memory.store, source.id, kind).history()
            ]
            for kind in ("memory", "plan")
        },
    }


def test_sixty_steps_keep_a_bounded_memory_and_what_was_put_into_it_first(
    run: Run, outline: Path, memory: Namespace, tmp_path: Path
) -> None:
    # The last step is only answered where the fact of the first one is in its prompt.
    last = {"match": rf"(?s)1\. {FACT}.*STEP-60 ", "text": reply(60, paragraph="It was 4711.")}
    script = write_script(tmp_path / "script", 59, last)
    out = tmp_path / "whole.txt"
    done = run(
        "write", outline, "--auto", "--steps", 60, "--json", "--seed", 3, "--out", out, **script
    )
    assert done.returncode == 0, done.stderr
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(conforms("write", step) for step in steps)
    assert [step["step"] for step in steps] == list(range(1, 61))
    assert {step["state"] for step in steps} == {"complete"}
    expected = [paragraph(number) for number in range(1, 60)] + ["It was 4711."]
    assert [step["paragraph"] for step in steps] == expected
    for step in steps:
        lines = step["memory"]["lines"]
        assert len(lines) <= MOST_LINES and len(" ".join(lines).split()) <= MOST_WORDS
        assert lines[0] == FACT
    assert len({step["plan"].split()[-1] for step in steps[1:]}) == 3, "the seed chooses among all"

    book = Book(memory, "the map")
    assert book.outline.text == OUTLINE and book.outline.start == 0
    assert [span.text for span in book.paragraphs()] == expected
    assert out.read_text() == "\n\n".join(expected) + "\n" == book.text()
    for step in steps:
        stored = memory.spans.text(book.source.id, step["start"], step["end"])
        assert stored == step["paragraph"]
    keys = memory.spans.keys(book.source.id)
    assert [key for key in keys.values() if key.startswith("paragraph")] == [
        f"paragraph:{number}" for number in range(1, 61)
    ]
    ids = {key: span_id for span_id, key in keys.items()}
    fact, *_, newest = book.working.sourced()
    assert fact.sources == (ids["outline"], ids["paragraph:1"])
    assert newest.sources == (ids["paragraph:60"],)
    assert book.working.history()[-1].reason == (
        "paragraph 60\ndropped 2: it is past\nadded 6: seen on day 60"
    )

    # Without the line, the last step cannot be answered.
    assert book.undo() == 60
    book.working.replace(book.working.lines()[1:], "edit")
    without = run("write", "-c", "--auto", "--steps", 60, "--json", **script)
    assert json.loads(without.stdout)["paragraph"] != "It was 4711."


def test_a_killed_run_resumes_to_the_same_text(
    run: Run, env: dict[str, str], outline: Path, memory: Namespace, tmp_path: Path
) -> None:
    steps = 16
    script = write_script(tmp_path / "script", steps, delay=0.003)
    how = ["--auto", "--steps", str(steps), "--seed", "11"]
    unbroken = run("write", outline, "-s", "whole", *how, **script)
    assert unbroken.returncode == 0, unbroken.stderr

    pick = random.Random(5)
    command = [str(PROGRAM), "write", str(outline), "-c", "-s", "broken", *how]
    command += ["--out", str(tmp_path / "broken.txt")]
    killed = 0
    while True:
        behind = pick.randint(1, 5)
        with subprocess.Popen(
            command, env={**env, **script}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout
            for _ in range(3 * behind):
                if not process.stdout.readline():
                    break
            else:
                time.sleep(pick.random() / 5)
                process.send_signal(signal.SIGKILL)
            _, stderr = process.communicate(timeout=120)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, stderr
        killed += 1
        whole = (tmp_path / "broken.txt").read_text()
        assert unbroken.stdout.startswith(whole.removesuffix("\n"))
    assert killed >= 1
    assert state(memory, "broken") == state(memory, "whole")
    assert (tmp_path / "broken.txt").read_text() == unbroken.stdout


def test_manual_edits_are_in_the_next_prompt(
    run: Run, outline: Path, memory: Namespace, tmp_path: Path
) -> None:
    script = write_script(
        tmp_path / "script",
        4,
        {
            "match": r"(?s)2\. The keeper is Orla.*STEP-4 by sea",
            "text": reply(4, paragraph="Orla."),
        },
    )
    assert run("write", outline, "--auto", "--steps", 3, **script).returncode == 0
    before = [FACT, "Ship 2 passed.", "Ship 3 passed."]
    shown = run("memory", "lines", "the map").stdout.splitlines()
    assert shown == [f"{number}. {line}" for number, line in enumerate(before, start=1)]

    lines = f"{FACT}\n\n  The keeper is Orla.\n"
    edited = run("memory", "edit", "the map", "--from", "-", stdin=lines)
    assert edited.stderr == "memagent: version 4 of the memory of 'the map'\n"
    assert run("memory", "edit", "the map", "--from", "-", stdin=lines).stderr == (
        "memagent: nothing was changed\n"
    )
    diff = run("memory", "diff", "the map").stdout.splitlines()
    assert diff[3:] == [f" {FACT}", "-Ship 2 passed.", "-Ship 3 passed.", "+The keeper is Orla."]
    run("memory", "edit", "the map", "--plan", "--from", "-", stdin="STEP-4 by sea")
    done = run("write", "-c", "--auto", "--steps", 4, **script)
    assert done.stdout == "Orla.\n", done.stderr
    book = Book(memory, "the map")
    assert book.working.lines() == [FACT, "The keeper is Orla.", "Ship 4 passed."]
    assert book.working.sourced()[0].sources and not book.working.sourced()[1].sources

    assert "version 6" in run("memory", "undo", "the map").stderr
    assert run("memory", "lines", "the map").stdout == f"1. {FACT}\n2. The keeper is Orla.\n"
    history = run("memory", "lines", "the map", "--history").stdout
    assert ": edit\n1. The gate" in history and "\nadded 3: seen on day 3\n" in history
    told = json.loads(run("memory", "lines", "the map", "--history", "--json").stdout)
    assert conforms("working", told) and len(told["versions"]) == 6
    plans = json.loads(run("memory", "lines", "the map", "--plan", "--json").stdout)
    assert conforms("working", plans) and len(plans["versions"][0]["lines"]) == 3


def test_broken_answers_are_asked_for_three_times_and_what_can_be_saved_is(
    run: Run, outline: Path, memory: Namespace, tmp_path: Path
) -> None:
    cut = reply(3)[: reply(3).index(" lines into the log")]
    wrong = "(?s)STEP-4 .*could not be used: plans"
    script = write_script(
        tmp_path / "script",
        4,
        {"match": "STEP-2 ", "text": "It is a plain paragraph. No JSON stands here."},
        {"match": "STEP-3 ", "text": cut},
        {"match": wrong, "text": reply(4, plans=[])},
        {"match": wrong, "text": f"Of course!\n```json\n{reply(4)}\n```"},
        {"match": "STEP-4 ", "text": '{"paragraph": "Not whole."}'},
    )
    done = run("write", outline, "--auto", "--steps", 2, "--json", **script)
    first, prose = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 0 and prose["state"] == "memory unchanged"
    assert prose["paragraph"] == "It is a plain paragraph. No JSON stands here."
    assert (prose["memory"], prose["plans"]) == (first["memory"], first["plans"])
    assert "3 answers were unusable (it holds no JSON object)" in done.stderr

    run("memory", "edit", "the map", "--plan", "--from", "-", stdin="STEP-3 by day")
    saved = json.loads(run("write", "-c", "--auto", "--steps", 3, "--json", **script).stdout)
    assert saved["state"] == "memory unchanged"
    assert saved["paragraph"] and paragraph(3).startswith(saved["paragraph"])

    run("memory", "edit", "the map", "--plan", "--from", "-", stdin="STEP-4 by day")
    mended = json.loads(run("write", "-c", "--auto", "--steps", 4, "--json", **script).stdout)
    assert (mended["state"], mended["paragraph"]) == ("complete", paragraph(4))

    run("memory", "edit", "the map", "--plan", "--from", "-", stdin="STEP-5 by day")
    before = state(memory, "the map")
    nothing = write_script(tmp_path / "script", 4, {"match": "STEP-5 ", "text": '{"drop": [{'})
    failed = run("write", "-c", "--auto", "--steps", 5, **nothing)
    assert (failed.returncode, failed.stdout) == (1, "")
    (line,) = failed.stderr.splitlines()
    assert "paragraph 5 failed: 3 answers of the model were unusable" in line
    assert "continue with memagent write -c -s 'the map' --auto --steps 5" in line
    assert state(memory, "the map") == before


def test_a_text_that_repeats_itself_is_written_again_once(
    run: Run, outline: Path, tmp_path: Path
) -> None:
    again = {"match": "STEP-2 ", "text": reply(2, paragraph=paragraph(1))}
    script = write_script(tmp_path / "script", 2, again, {"match": "STEP-2 ", "text": reply(2)})
    done = run("write", outline, "--auto", "--steps", 2, **script)
    assert done.stdout.endswith(paragraph(2) + "\n")
    assert "100% of it had been said before; it was written again, which leaves 0%" in done.stderr
    worse = write_script(tmp_path / "script", 1, again, again)
    done = run("write", outline, "-s", "worse", "--auto", "--steps", 2, **worse)
    assert "written again, it was no better" in done.stderr


def test_invalid_arguments_are_refused_in_one_line(
    run: Run, outline: Path, memory: Namespace
) -> None:
    told = memory.sources.session("told")
    memory.spans.append_turn(told.id, "user", "Good morning.")

    def refused(code: int, says: str, *arguments: object, stdin: str = "", **extra: str) -> None:
        done = run("write", *map(str, arguments), stdin=stdin, **extra)
        (line,) = done.stderr.splitlines()
        assert (done.returncode, done.stdout) == (code, "") and says in line, done.stderr

    scripted = {"MEMAGENT_ENGINE": "scripted"}
    refused(2, "choosing plans needs a terminal", outline)
    refused(2, "there is no outline", "--auto")
    refused(2, "the outline is empty", "-", "--auto", stdin=" \n")
    refused(2, "use one of them", outline, "--text", "x", "--auto")
    refused(3, "does not exist", "none.md", "--auto")
    refused(1, "is a directory", outline.parent, "--auto")
    refused(2, "needs a model that writes, and pocket only quotes", outline, "--auto")
    refused(3, "no text to continue", "-c", "--auto", **scripted)
    refused(3, "no text named 'new' to continue", "-c", "-s", "new", "--auto", **scripted)
    refused(3, "is not a text with an outline", "-c", "-s", "told", "--auto", **scripted)
    refused(2, "holds a conversation", outline, "-c", "-s", "told", "--auto", **scripted)
    refused(2, "continue it with -c", outline, "-s", "told", "--auto", **scripted)
    refused(2, "cannot be a file", outline, "--auto", "--out", outline.parent, **scripted)
    down = ("--engine", "vllm", "--url", "http://127.0.0.1:9")
    refused(4, "no server answers", outline, "--auto", *down)
    for verb in ("lines", "edit", "diff", "undo"):
        assert run("memory", verb, "nobody").returncode == 3
    assert run("memory", "undo", "told").returncode == 3
    assert run("memory", "edit", "told").returncode == 2
    assert "was never changed" in run("memory", "diff", "told").stderr


def test_a_lost_server_ends_with_the_command_to_continue(
    run: Run, outline: Path, tmp_path: Path
) -> None:
    lost = {"match": "STEP-3 ", "error": "the server went away"}
    script = write_script(tmp_path / "script", 2, lost, {"match": "STEP-3 ", "text": reply(3)})
    done = run("write", outline, "--auto", "--steps", 3, **script)
    assert done.returncode == 4
    assert done.stderr == (
        "memagent: the server went away; 2 paragraphs are kept: "
        "continue with memagent write -c -s 'the map' --auto --steps 3\n"
    )


def test_ctrl_c_keeps_the_paragraphs_and_shows_how_to_continue(
    env: dict[str, str], outline: Path, memory: Namespace, tmp_path: Path
) -> None:
    slow = {"match": "STEP-2 ", "text": reply(2), "delay": 5.0}
    script = write_script(tmp_path / "script", 1, slow)
    command = [PROGRAM, "write", outline, "--auto", "--seed", "4", "-n", "tales"]
    with subprocess.Popen(
        command, env={**env, **script}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stdout.readline()
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr == (
        "memagent: interrupted: 1 paragraphs are kept; continue with: "
        "memagent write -c -s 'the map' --auto --seed 4 --namespace tales\n"
    )
