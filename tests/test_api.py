"""The front door, used as a Python program uses it."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

import memagent
from memagent.engines.scripted import Line

PIER = "After the flood of 1960 Ada Krüger rebuilt the pier in concrete."
GATE = "The code of the north gate is 4711."


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[memagent.Memory]:
    """An open memory that quotes its first evidence."""
    with memagent.open(
        tmp_path / "notes.db", engine=memagent.ScriptedEngine(), embedder=memagent.FakeEmbedder()
    ) as opened:
        yield opened


def test_the_public_names_are_what_dir_shows() -> None:
    assert dir(memagent) == sorted(memagent.__all__)
    assert all(getattr(memagent, name) is not None for name in memagent.__all__)


def test_importing_costs_nothing() -> None:
    program = "import sys, memagent; print(*(name.split('.')[0] for name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    heavy = {"torch", "numpy", "langgraph", "faiss", "sqlite_utils", "pydantic", "typer", "openai"}
    assert not heavy & set(done.stdout.split())


def test_a_text_is_added_found_answered_and_forgotten(
    memory: memagent.Memory, tmp_path: Path
) -> None:
    (added,) = memory.add(text=PIER, name="report")
    assert (added.source, added.status, added.chars) == ("report", "added", len(PIER))
    assert memory.add(text=PIER, name="report")[0].status == "unchanged"
    (hit,) = memory.search("pier")
    assert (hit.text, hit.source) == (PIER, "report")
    answer = memory.ask("Who rebuilt the pier?")
    assert answer.found
    assert [(cited.text, cited.verified) for cited in answer.citations] == [(PIER, True)]
    assert memory.forget(answer.citations[0]) == len(PIER)
    assert memory.search("pier") == []
    memory.close()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"Kr\xc3\xbcger" in path.read_bytes() for path in files)


def test_paths_may_be_strings_folders_and_patterns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    for name in ("a.txt", "b.md"):
        (notes / name).write_text(f"{GATE} That is in {name}.")
    monkeypatch.chdir(tmp_path)
    with memagent.open("notes.db", engine="scripted", embedder="fake") as memory:
        assert [each.source for each in memory.add("notes/*.txt")] == ["notes/a.txt"]
        assert {each.status for each in memory.add(Path("notes"))} == {"added", "unchanged"}
        assert {each.name for each in memory.documents()} == {"notes/a.txt", "notes/b.md"}
        assert memory.forget("notes/a.txt") > len(GATE)


def test_many_documents_are_added_one_by_one(memory: memagent.Memory, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "long.txt").write_text("".join(f"{PIER} Entry {n}.\n\n" * 60 for n in range(90)))
    (notes / "program.bin").write_bytes(bytes(range(256)) * 8)
    (tmp_path / "empty.txt").touch()
    commits: list[tuple[str, int, int]] = []
    embedded: list[tuple[int, int]] = []
    adding = memory.add_all(
        [notes, tmp_path / "empty.txt"],
        on_commit=lambda *commit: commits.append(commit),
        on_embed=lambda *count: embedded.append(count),
    )
    first = next(adding)
    assert first.status == "added"
    assert len(commits) > 1
    assert commits[-1] == (first.source, first.spans, first.chars)
    assert not embedded
    skipped, failed = adding
    assert (skipped.status, failed.status) == ("skipped", "failed")
    assert "program.bin" in str(skipped.error)
    assert "is empty" in str(failed.error)
    done, total = embedded[-1]
    assert done == total == memory.namespace.events.count_after() > 0


def test_a_stream_is_added_under_a_name(memory: memagent.Memory) -> None:
    (added,) = memory.add(BytesIO(f"<p>{GATE}</p>".encode()), name="page.html")
    assert (added.source, added.status) == ("page.html", "added")
    assert [hit.text for hit in memory.search("gate")] == [GATE]
    with pytest.raises(memagent.UsageError, match="needs a name"):
        memory.add(BytesIO(GATE.encode()))


def test_a_name_is_for_one_document(memory: memagent.Memory, tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(GATE)
    with pytest.raises(memagent.UsageError, match="not for 2"):
        list(memory.add_all([tmp_path / "a.txt", tmp_path / "b.txt"], "gate"))
    assert memory.documents() == []


def test_a_file_named_with_a_dot_slash_fails(
    memory: memagent.Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").touch()
    with pytest.raises(memagent.InputError, match="is empty"):
        memory.add("./empty.txt")


def test_an_answer_streams_and_is_stored(memory: memagent.Memory) -> None:
    memory.add(text=GATE, name="notes")
    stream = memory.stream("What is the code?")
    pieces = list(stream)
    assert len(pieces) > 1
    assert "".join(pieces) == stream.answer.text
    assert stream.answer.citations[0].text == GATE
    assert list(stream) == []


def test_a_stream_that_is_left_keeps_its_part(tmp_path: Path) -> None:
    slow = memagent.ScriptedEngine(lambda request: Line(f"{GATE} " * 500, delay=0.005))
    with memagent.open(tmp_path / "m.db", engine=slow, embedder="fake") as memory:
        with memory.session("talk").stream("Say it again.") as stream:
            heard = next(stream) + next(stream)
        assert stream.answer.state == "partial"
        assert stream.answer.text.startswith(heard)
        assert len(stream.answer.text) < len(GATE) * 500


def test_what_the_engine_raises_is_raised_by_the_stream(tmp_path: Path) -> None:
    lost = memagent.ScriptedEngine([memagent.ServerDownError("the server is gone")])
    with (
        memagent.open(tmp_path / "m.db", engine=lost, embedder="fake") as memory,
        pytest.raises(memagent.EngineError, match="gone"),
    ):
        list(memory.stream("Hello?"))


def test_a_filter_takes_dates_ages_and_names(memory: memagent.Memory) -> None:
    diary = memory.session("diary")
    diary.say("It rained on the harbour.", time="2026-01-05T10:00:00+00:00")
    diary.say("It snowed on the harbour.", time="2026-03-05T10:00:00+00:00")
    memory.add(text="The harbour is in Norden.", name="facts")

    def found(**limits: object) -> set[str]:
        where = memagent.Filter(**limits)  # type: ignore[arg-type]
        return {hit.text for hit in memory.search("harbour", where=where)}

    assert found(until="2026-02-01") == {"It rained on the harbour."}
    assert found(since="2026-02-01", until="2026-04-01") == {"It snowed on the harbour."}
    assert found(sources=["facts"]) == {"The harbour is in Norden."} == found(since="1h")
    with pytest.raises(memagent.NotFoundError, match="nowhere"):
        found(sources=["nowhere"])
    with pytest.raises(memagent.UsageError, match="is no time"):
        found(since="soon")


def test_a_conversation_goes_on_in_another_process(tmp_path: Path) -> None:
    for said in ("My cat is called Biscuit.", "She is afraid of thunder."):
        with memagent.open(tmp_path / "m.db", engine="scripted", embedder="fake") as memory:
            memory.session("monday").ask(said)
    with memagent.open(tmp_path / "m.db", engine="scripted", embedder="fake") as memory:
        assert memory.newest_session() == "monday"
        assert [session.name for session in memory.sessions()] == ["monday"]
        monday = memory.session("monday")
        assert monday.undo() == "She is afraid of thunder."
        assert monday.forget_last() >= len("My cat is called Biscuit.")
        assert "Biscuit" not in memory.namespace.spans.text(monday.source.id)


def test_closed_means_closed(tmp_path: Path) -> None:
    memory = memagent.open(tmp_path / "m.db", engine="scripted", embedder="fake")
    talk = memory.session("talk")
    memory.close()
    memory.close()
    for use in (
        lambda: memory.add(text="a", name="b"),
        lambda: memory.ask("a"),
        lambda: memory.stream("a"),
        lambda: memory.search("a"),
        lambda: memory.session("a"),
        lambda: memory.documents(),
        lambda: memory.forget("a"),
        lambda: talk.ask("a"),
    ):
        with pytest.raises(memagent.StoreError, match="closed"):
            use()


def test_every_error_is_of_one_family(memory: memagent.Memory, tmp_path: Path) -> None:
    for use in (
        lambda: memory.add(tmp_path / "missing.txt"),
        lambda: memory.add(),
        lambda: memory.add(text="a"),
        lambda: memory.forget("nothing"),
        lambda: memory.newest_session(),
        lambda: memagent.open(tmp_path / "m.db", budget=-1),
        lambda: memagent.open(tmp_path / "m.db", bugdet=100),
        lambda: memagent.open(tmp_path / "m.db", engine="none"),
        lambda: memagent.open(tmp_path, engine="scripted").documents(),
    ):
        with pytest.raises(memagent.MemagentError):
            use()


def test_settings_are_keywords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMAGENT_BUDGET", "300")
    monkeypatch.setenv("MEMAGENT_NAMESPACE", "theirs")
    with memagent.open(tmp_path / "m.db", engine="scripted", namespace="mine") as memory:
        assert memory.workspace.settings.budget == 300
        assert memory.namespace.namespace == "mine"


def test_threads_share_one_memory(memory: memagent.Memory) -> None:
    memory.add(text=GATE, name="notes")
    answers: list[memagent.Answer] = []
    threads = [
        threading.Thread(target=lambda: answers.append(memory.ask("What is the code?")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.citations[0].text for answer in answers] == [GATE] * 4
