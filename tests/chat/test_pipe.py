"""`memagent chat` over pipes: turns, slash commands, errors, interrupts."""

import json
import signal
import subprocess
from pathlib import Path

from memagent.agent.session import newest
from memagent.cli.chat.history import ChatHistory
from memagent.memory.namespace import Namespace
from tests.conftest import PROGRAM, Run


def _script(path: Path, *lines: dict[str, object]) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def _turns(memory: Namespace, name: str) -> list[tuple[str | None, str, bool]]:
    spans = memory.spans.of(memory.sources.get(name, "session").id)
    return [(span.role, span.text, span.withdrawn) for span in spans]


def test_facts_told_in_one_chat_are_answered_in_a_later_one(
    run: Run, env: dict[str, str], memory: Namespace
) -> None:
    with subprocess.Popen(
        [PROGRAM, "chat", "-s", "first"],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as told:
        assert told.stdin is not None and told.stdout is not None
        told.stdin.write("My cat is called Bartholomew and he is eleven.\n")
        told.stdin.flush()
        # The answer is here before the pipe is closed: whoever holds it can wait for each turn.
        assert told.stdout.readline().startswith("Kept")
        told.stdin.write("\n  \n")
    assert told.returncode == 0

    commands = (
        "/sources\n/open 1\n/open [1]\n/why\n/context\n/session\n/help\n/memory add Be brief.\n"
    )
    later = run("chat", stdin=f"What is my cat called?\n{commands}")
    assert later.returncode == 0
    assert later.stdout == "Bartholomew\n“My cat is called Bartholomew and he is eleven.” [1]\n"
    place = "[1] first · characters 0-46\nMy cat is called Bartholomew and he is eleven.\n"
    assert place in later.stderr
    assert later.stderr.count("⟦My cat is called Bartholomew and he is eleven.⟧") == 2
    for shown in (
        "tokens spent",
        "prompt   ",
        "window   ",
        "1 turns",
        "/forget N | last",
        "1. Be brief.",
    ):
        assert shown in later.stderr
    assert "Traceback" not in later.stderr

    name = newest(memory)
    assert name != "first"
    assert f"continue with: memagent chat -s '{name}'" in later.stderr
    assert [role for role, _, _ in _turns(memory, name)] == ["user", "assistant"]

    # An opened and abandoned session is not the one to continue.
    assert run("chat", "-s", "empty", stdin="").stderr == ""
    again = run("chat", "-c", stdin="/session\n/memory\n/sources\n/quit\nnever asked\n")
    assert again.returncode == 0 and again.stdout == ""
    assert f"session {name}: 1 turns" in again.stderr
    assert "1. Be brief." in again.stderr and place in again.stderr


def test_working_memory_and_plan_are_edited_line_by_line(run: Run) -> None:
    lines = [
        "/memory", "/memory add likes tea", "/memory add hates coffee", "/memory drop 1",
        "/memory diff", "/memory undo", "/memory drop 7", "/memory edit", "/memory fly",
        "/memory add", "/plan add first step", "/plan show", "/plan diff",
    ]  # fmt: skip
    done = run("chat", "-s", "notes", stdin="\n".join(lines) + "\n")
    assert done.returncode == 2 and done.stdout == ""
    for shown in (
        "(the memory is empty: /memory add LINE)\n",
        "1. likes tea\n2. hates coffee\n",
        "\n-likes tea\n",
        "memagent: the memory has no line 7: it has 2\n",
        "memagent: edit needs a terminal: use /memory add LINE or drop N\n",
        "memagent: /memory has no action 'fly': use update, show, edit, add LINE, diff,"
        " undo or drop N\n",
        "memagent: give the line to add: /memory add LINE\n",
        "1. first step\n1. first step\n",
        "\n+first step\n",
    ):
        assert shown in done.stderr, done.stderr
    assert done.stderr.count("1. likes tea\n2. hates coffee\n") == 2, "undo brings line 1 back"


def test_turns_are_repeated_taken_back_and_forgotten(
    run: Run, memory: Namespace, env: dict[str, str], tmp_path: Path
) -> None:
    history = ChatHistory(Path(env["MEMAGENT_STATE"]))
    history.store_string("My locker code is 4711 at the station.")
    told = memory.sources.session("told")
    memory.spans.append_turn(told.id, "user", "My locker code is 4711 at the station.")
    script = _script(tmp_path / "script", {"text": "first try"}, {"text": "second try"})
    lines = [
        "/retry", "/undo", "/forget last", "/sources",
        "keep this", "/retry", "/sources",
        "take this back", "/undo",
        "forget this whole turn", "/forget last", "/session",
    ]  # fmt: skip
    scripted = {"MEMAGENT_ENGINE": "scripted", "MEMAGENT_SCRIPT": script}
    done = run("chat", "-s", "s", stdin="\n".join(lines) + "\n", **scripted)
    assert done.stdout.splitlines() == ["first try", "second try", "second try", "second try"]
    assert done.stderr.count("memagent: this session has no turn yet\n") == 3
    assert "memagent: there is no answer yet: ask something first\n" in done.stderr
    assert "memagent: the last answer cites no stored text\n" in done.stderr
    assert "(undone, and no longer recalled: take this back)\n" in done.stderr
    assert "(forgot 32 characters)\n" in done.stderr
    assert "session s: 1 turns" in done.stderr
    assert done.returncode == 3
    assert _turns(memory, "s") == [
        ("user", "keep this", False),
        ("assistant", "first try", True),
        ("assistant", "second try", False),
        ("user", "take this back", True),
        ("assistant", "second try", True),
        ("user", "█" * 22, True),
        ("assistant", "█" * 10, True),
    ]

    lines = [
        "What is my locker code?",
        "/forget 9",
        "/forget x",
        "/forget",
        "/forget 1",
        "/sources",
    ]
    done = run("chat", "-s", "asked", stdin="\n".join(lines) + "\n")
    assert done.stdout == "4711\n“My locker code is 4711 at the station.” [1]\n"
    assert "memagent: no verified citation [9]: the last answer has [1]\n" in done.stderr
    assert "memagent: give the number of a citation: /forget 1, or /forget last\n" in done.stderr
    assert "memagent: say what to forget" in done.stderr
    assert "(forgot 38 characters)\n" in done.stderr
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"4711" not in path.read_bytes(), path


def test_any_text_is_a_turn_and_errors_do_not_end_the_chat(
    env: dict[str, str], memory: Namespace, tmp_path: Path
) -> None:
    script = _script(
        tmp_path / "script",
        {"error": "the server is down", "match": "lost"},
        {"text": "there again", "match": "lost"},
        {"text": "ends with a line\n", "match": "etc"},
        {"text": "fine"},
    )
    odd = "naïve 漢字 🐈 \x00\x1b[31m\x07 \u2028 end"
    lines = [
        b"\xef\xbb\xbf" + odd.encode() + b"\r", b"//etc is a folder",
        b'"""', b"/sources", b"  in a block", b'"""',
        b"a lost turn", b"/retry",
        b"/sorces", b"/zzzzzzzz", b"/help me", b"\xff\xfe not UTF-8",
        b"the last line has no end",
    ]  # fmt: skip
    with subprocess.Popen(
        [PROGRAM, "chat", "-s", "odd", "--engine", "scripted"],
        env={**env, "MEMAGENT_SCRIPT": script},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        out, err = process.communicate(b"\n".join(lines), timeout=120)
    said = err.decode()
    assert out.decode() == "fine\nends with a line\nfine\nthere again\nfine\n"
    assert "memagent: the server is down; the turn is kept: /retry asks again\n" in said
    assert "memagent: no command /sorces: did you mean /sources? /help lists them; " in said
    assert "memagent: no command /zzzzzzzz: /help lists them; " in said
    assert "memagent: /help takes no argument: leave out 'me'\n" in said
    assert "memagent: line 12 is not UTF-8 (byte 1): it was skipped; " in said
    assert "Traceback" not in said
    assert process.returncode == 1, "that of the last error"
    assert [text for role, text, _ in _turns(memory, "odd") if role == "user"] == [
        odd,
        "/etc is a folder",
        "/sources\n  in a block",
        "a lost turn",
        "the last line has no end",
    ]


def test_an_interrupt_on_a_pipe_keeps_the_part_and_leaves_with_130(
    env: dict[str, str], memory: Namespace, tmp_path: Path
) -> None:
    script = _script(tmp_path / "script", {"text": "one two three four five", "delay": 1.0})
    with subprocess.Popen(
        [PROGRAM, "chat", "-s", "cut", "--engine", "scripted"],
        env={**env, "MEMAGENT_SCRIPT": script},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"go\nnever asked\n")
        process.stdin.flush()
        assert process.stdout.read(3) == b"one"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "(stopped; the part is kept)" in err.decode()
    assert "Traceback" not in err.decode()
    (asked, answered) = _turns(memory, "cut")
    assert asked == ("user", "go", False)
    assert answered[1].startswith("one") and not answered[1].endswith("five")
    answer_id = memory.answers.last(memory.sources.get("cut").id)
    assert answer_id is not None and memory.answers.get(answer_id)["state"] == "partial"
