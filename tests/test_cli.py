"""The command line: adding documents, cited answers, errors in one line."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import memagent
from tests.conftest import Run

SCHEMAS = Path(memagent.__file__).parent / "schemas"
NOTES = (
    "The harbour of Tolvik freezes in January.\r\n\r\n"
    "The pilot of the ice-breaker is called Ingrid Sørlie — she has a parrot named “Möwe”.\n\n"
    "Coal is delivered on the second Tuesday of every month. 🚢\n"
)


def check_schema(name: str, value: Any) -> None:
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    jsonschema.validate(value, schema)


def one_line(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.strip()]
    assert len(lines) == 1, stderr
    assert lines[0].startswith("memagent: ")
    return lines[0]


def test_a_piped_document_is_answered_with_citations_to_the_character(run: Run) -> None:
    added = run("add", "-", "--name", "notes", stdin=NOTES)
    assert added.returncode == 0, added.stderr
    asked = run("ask", "--json", "--explain", "Who is the pilot of the ice-breaker?")
    assert asked.returncode == 0, asked.stderr
    answer = json.loads(asked.stdout)
    check_schema("answer", answer)
    assert "Ingrid Sørlie" in answer["text"]
    assert answer["found"]
    assert answer["citations"]
    for cited in answer["citations"]:
        assert cited["verified"]
        assert cited["source"] == "notes"
        assert cited["text"] == NOTES[cited["start"] : cited["end"]]
        shown = run(
            "memory", "show", "notes", "--start", cited["start"], "--end", cited["end"], "--json"
        )
        assert json.loads(shown.stdout)["text"] == cited["text"]

    nothing = run("ask", "--json", "Which opera did Verdi write first?")
    assert nothing.returncode == 0
    assert json.loads(nothing.stdout)["found"] is False
    assert json.loads(nothing.stdout)["citations"] == []

    plain = run("ask", "When is coal delivered?")
    assert plain.stdout.count("\n") == 2
    assert "second Tuesday" in plain.stdout
    assert "notes · characters" in plain.stderr

    found = run("search", "parrot", "--json", "--explain", "--limit", "1")
    value = json.loads(found.stdout)
    check_schema("search", value)
    assert len(value["hits"]) == 1
    explained = run("search", "parrot", "--explain")
    assert "tokens spent" in explained.stderr
    assert "lexical" in explained.stderr
    assert "because of" in explained.stderr


def test_adding_again_is_a_no_op_and_a_changed_file_an_update(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("The gate code is 1234.\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.md").write_text("# Title\n\nSome text about herons.\n")
    (tmp_path / "more" / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    first = run("add", "notes.txt", "more", "--jsonl")
    lines = [json.loads(line) for line in first.stdout.splitlines()]
    for line in lines:
        check_schema("add", line)
    assert [line["status"] for line in lines if "status" in line] == ["added", "added"]
    assert "picture.png looks binary" in one_line(first.stderr)
    assert first.returncode == 0
    again = run("add", "notes.txt", "--jsonl")
    assert json.loads(again.stdout)["status"] == "unchanged"
    (tmp_path / "notes.txt").write_text("The gate code is 9876.\n")
    changed = run("add", "notes.txt", "--jsonl")
    assert json.loads(changed.stdout.splitlines()[-1])["status"] == "updated"
    answer = run("ask", "What is the gate code?").stdout
    assert "9876" in answer
    assert "1234" not in answer


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["add", "missing.txt"], 3, "missing.txt"),
        (["add", "no-such-*.txt"], 3, "no-such-*.txt"),
        (["add", "empty.txt"], 1, "empty.txt is empty"),
        (["add", "blank.txt"], 1, "blank.txt"),
        (["add", "picture.bin"], 1, "looks binary"),
        (["add", "broken.pdf"], 1, "broken.pdf"),
        (["add", "broken.txt"], 1, "broken.txt"),
        (["add", "big.txt", "--max-mb", "1"], 1, "--max-mb"),
        (["add", "-"], 2, "--name"),
        (["ask", ""], 2, "empty"),
        (["ask", "hello?", "-n", "../etc"], 2, "cannot name a namespace"),
        (["ask", "hello?", "-n", "a\x07b"], 2, "cannot name a namespace"),
        (["ask", "hello?", "--source", "nowhere"], 3, "nowhere"),
        (["ask", "hello?", "--since", "yesterdayish"], 2, "is no time"),
        (["ask", "hello?", "--engine", "gpt"], 2, "one of auto, pocket"),
        (["ask", "hello?", "--budget", "3"], 2, "at least 50"),
        (["ask", "hello?", "--engine", "vllm", "--url", "http://127.0.0.1:9"], 4, "127.0.0.1:9"),
        (["ask", "hello?", "--url", "http://127.0.0.1:9"], 4, "127.0.0.1:9"),
        (["ask", "hello?", "-c"], 3, "no session to continue"),
        (["search", "x", "--store", "notadb.txt"], 5, "not a memagent store"),
        (["sessions", "show", "never"], 3, "never"),
        (["memory", "show", "never"], 3, "never"),
        (["memory", "forget", "never", "--yes"], 3, "never"),
        (["config", "set", "budgte", "3"], 2, "unknown setting"),
        (["config", "get", "budgte"], 2, "unknown setting"),
    ],
    ids=lambda value: " ".join(map(repr, value)) if isinstance(value, list) else "",
)
def test_bad_input_is_reported_in_one_line_with_a_remedy(
    run: Run, tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "blank.txt").write_text(" \n\n \t\n")
    (tmp_path / "picture.bin").write_bytes(b"\xff\xd8\xff\xe0" + bytes(range(256)))
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing of a PDF follows")
    (tmp_path / "broken.txt").write_bytes("Grüße aus Köln. ".encode() * 50 + b"\xc3\x28")
    (tmp_path / "big.txt").write_text("words " * 300_000)
    (tmp_path / "notadb.txt").write_text("plain text " * 500)
    result = run(*arguments)
    assert result.returncode == code, (result.stdout, result.stderr)
    assert says in one_line(result.stderr)
    assert result.stdout == ""


def test_a_question_without_any_memory_says_how_to_begin(run: Run) -> None:
    result = run("ask", "What is my name?")
    assert result.returncode == 0
    assert "Not in memory" in result.stdout
    assert "memagent add" in one_line(result.stderr)


def test_an_answer_has_its_words_its_sentence_and_its_confidence(run: Run) -> None:
    run("add", "-", "--name", "notes", stdin=NOTES)
    asked = run("ask", "Who is the pilot of the ice-breaker?")
    assert asked.returncode == 0, asked.stderr
    answer, sentence = asked.stdout.splitlines()
    assert answer == "Ingrid Sørlie"
    assert sentence.startswith("“The pilot of the ice-breaker is called Ingrid Sørlie")
    assert sentence.endswith("[1]")
    sure = re.search(r"confidence (\d+)%", asked.stderr)
    assert sure is not None
    value = json.loads(run("ask", "Who is the pilot of the ice-breaker?", "--json").stdout)
    assert round(value["confidence"] * 100) == int(sure[1])
    assert value["citations"][0]["verified"]

    nothing = json.loads(run("ask", "Which opera did Verdi write first?", "--json").stdout)
    assert (nothing["found"], nothing["confidence"], nothing["citations"]) == (False, None, [])


def test_a_reader_says_that_it_cannot_write(run: Run) -> None:
    run("add", "-", "--name", "notes", stdin=NOTES)
    asked = run("ask", "Write a poem about the ice-breaker.")
    assert asked.returncode == 0
    assert "only quote what is stored" in asked.stdout
    assert "doctor" in asked.stdout


def test_settings_from_the_command_line(run: Run) -> None:
    assert run("config", "set", "budget", "1234").returncode == 0
    listed = json.loads(run("config", "list", "--json").stdout)
    assert listed["budget"]["value"] == 1234
    assert listed["budget"]["from"].endswith("config.toml")
    run("config", "set", "api_key", "hunter2")
    assert "hunter2" not in run("config", "list").stdout
    run("config", "unset", "budget")
    assert run("config", "get", "budget").stdout == "\n"


def test_forget_and_rebuild_from_the_command_line(run: Run) -> None:
    run("add", "-", "--name", "notes", stdin=NOTES)
    refused = run("memory", "forget", "notes")
    assert refused.returncode == 2
    assert "--yes" in one_line(refused.stderr)
    forgotten = run("memory", "forget", "notes", "--yes")
    assert forgotten.returncode == 0, forgotten.stderr
    assert run("memory", "show", "notes").returncode == 3
    rebuilt = run("memory", "rebuild")
    assert "rebuilt default: 0 events" in one_line(rebuilt.stderr)
    assert run("memory", "check").returncode == 0


def test_help_imports_nothing_heavy(run: Run, env: dict[str, str]) -> None:
    result = run("--help", PYTHONPROFILEIMPORTTIME="1")
    assert result.returncode == 0
    loaded = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in result.stderr.splitlines()}
    assert not loaded & {
        "torch", "transformers", "sentence_transformers", "faiss", "langgraph", "httpx2",
        "sqlite_utils", "numpy", "sentencex", "prompt_toolkit", "jinja2",
    }  # fmt: skip


def test_a_closed_pipe_is_no_traceback(run: Run, env: dict[str, str], tmp_path: Path) -> None:
    import subprocess

    from tests.conftest import PROGRAM

    run("add", "-", "--name", "notes", stdin="word " * 40_000)
    result = subprocess.run(
        f"'{PROGRAM}' memory show notes | head -c 10",
        shell=True,
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout == "word word "
    assert result.stderr == ""


def test_every_schema_is_itself_valid() -> None:
    for path in SCHEMAS.glob("*.json"):
        jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))
