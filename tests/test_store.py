"""The SQLite file: schema, transactions, threads and processes, refusals in one line."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from memagent.errors import StoreError
from memagent.memory.store.database import Store
from memagent.memory.store.newer_migrations import migrations
from memagent.memory.store.sources import Sources
from memagent.memory.store.spans import Spans
from memagent.types import Piece

TABLES = {
    "answers": "id namespace_id session_id question_span answer_span engine state found usage "
    "explain created confidence ended",
    "batch_rows": "batch_id row_id operation status detail finished",
    "batches": "id output created",
    "citations": "answer_id position number verified source_id start end claim share "
    "valid_from valid_until",
    "continuations": "span_id answer_id",
    "events": "id namespace_id source_id span_id start end",
    "outline_points": "answer_id position heading number source_id start end",
    "prompt_events": "answer_id position origin source_id start end note",
    "prompt_states": "answer_id begun carried recalled_again memory_version plan_version tokens",
    "namespaces": "id name created epoch",
    "sources": "id namespace_id kind name uri sha256 media_type chars complete created updated "
    "superseded",
    "spans": "id source_id ordinal start end text page section role time key segmenter withdrawn",
    "surprises": "span_id scorer packed",
    "vector_sets": "namespace_id embedder count through saved",
    "vectors": "namespace_id embedder event_id vector tokens",
    "working": "id session_id kind version lines reason created",
}
INDEXES = {
    "answers_question", "answers_session", "citations_source", "continuations_answer",
    "events_namespace", "events_place", "events_span", "sources_current",
    "spans_key", "spans_pending", "spans_time", "vectors_event",
}  # fmt: skip


TRIGGERS = {"surprises_span": "spans", "surprises_source": "sources"}


def test_schema_is_exactly_this(store: Store) -> None:
    own = [
        name
        for name in store.db.table_names()
        if not name.startswith(("events_fts", "sqlite_", "_sqlite"))
    ]
    columns = {name: " ".join(store.db[name].columns_dict) for name in own}
    assert columns == TABLES
    rows = store.rows("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
    assert {row["name"] for row in rows if "_sqlite_" not in row["name"]} == INDEXES
    assert store.db.view_names() == ["event_texts"]
    triggers = store.rows("SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'")
    assert {row["name"]: row["tbl_name"] for row in triggers} == TRIGGERS


def test_migrations_are_numbered_without_gaps() -> None:
    numbers = [step.name.split("_")[0] for step in migrations._migrations]
    assert numbers == [f"m{n:03}" for n in range(1, len(numbers) + 1)]


def test_wal_and_full_sync(store: Store) -> None:
    assert store.row("PRAGMA journal_mode") == {"journal_mode": "wal"}
    assert store.row("PRAGMA synchronous") == {"synchronous": 2}


def test_a_failed_transaction_leaves_nothing(store: Store) -> None:
    sources = Sources(store, "default")
    with pytest.raises(RuntimeError), store.write():
        sources.session("lost")
        raise RuntimeError
    assert sources.all() == []


def test_spans_tile_a_document_and_text_is_verbatim(store: Store) -> None:
    sources, spans = Sources(store, "default"), Spans(store)
    pieces = [Piece("Grüße, 🌍!\r\n", 1, "A"), Piece("日本語のテキスト\n", 2, "B"), Piece("end")]
    source, complete = sources.begin_document("doc", "hash", None, "text/plain")
    assert not complete
    assert spans.append_pieces(source.id, pieces, 0) == 3
    sources.finish_document(source)
    whole = "".join(piece.text for piece in pieces)
    assert spans.text(source.id) == whole
    for start in range(len(whole)):
        for end in range(start, len(whole) + 1):
            assert spans.text(source.id, start, end) == whole[start:end]
    stored = spans.of(source.id)
    assert [span.start for span in stored[1:]] == [span.end for span in stored[:-1]]
    assert sources.get("doc").chars == len(whole)


def test_appending_pieces_twice_changes_nothing(store: Store) -> None:
    sources, spans = Sources(store, "default"), Spans(store)
    source, _ = sources.begin_document("doc", "hash", None, "text/plain")
    pieces = [Piece(f"piece {n}\n") for n in range(5)]
    spans.append_pieces(source.id, pieces[:3], 0)
    assert spans.append_pieces(source.id, pieces, 0) == 5
    assert spans.text(source.id) == "".join(piece.text for piece in pieces)


def test_a_keyed_turn_is_stored_once(store: Store) -> None:
    session = Sources(store, "default").session("talk")
    spans = Spans(store)
    first = spans.append_turn(session.id, "user", "hello", key="row-1")
    again = spans.append_turn(session.id, "user", "hello", key="row-1")
    assert first == again
    assert spans.count(session.id) == 1


def test_a_new_version_supersedes_the_old_and_keeps_its_text(store: Store) -> None:
    sources, spans = Sources(store, "default"), Spans(store)
    old, _ = sources.begin_document("doc", "h1", None, "text/plain")
    spans.append_pieces(old.id, [Piece("old text")], 0)
    assert sources.finish_document(old) is None
    new, complete = sources.begin_document("doc", "h2", None, "text/plain")
    assert not complete
    spans.append_pieces(new.id, [Piece("new text")], 0)
    assert sources.finish_document(new) == old.id
    assert sources.get("doc").id == new.id
    assert spans.text(old.id) == "old text"


def test_many_threads_append_without_loss(store: Store) -> None:
    session = Sources(store, "default").session("talk")
    spans = Spans(store)

    def work(name: int) -> None:
        for n in range(25):
            spans.append_turn(session.id, "user", f"{name}-{n}\n")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = spans.of(session.id)
    assert sorted(span.text for span in stored) == sorted(
        f"{name}-{n}\n" for name in range(8) for n in range(25)
    )
    assert spans.text(session.id) == "".join(span.text for span in stored)


def test_two_processes_create_and_fill_one_store(tmp_path: Path) -> None:
    path = tmp_path / "shared.db"
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from memagent.memory.store.database import Store\n"
        "from memagent.memory.store.sources import Sources\n"
        "from memagent.memory.store.spans import Spans\n"
        "store = Store(Path(sys.argv[1]))\n"
        "session = Sources(store, 'default').session('talk')\n"
        "for n in range(50):\n"
        "    Spans(store).append_turn(session.id, 'user', f'{sys.argv[2]}-{n};')\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", program, str(path), name], cwd=tmp_path)
        for name in "abc"
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    store = Store(path)
    session = Sources(store, "default").get("talk")
    parts = Spans(store).text(session.id).rstrip(";").split(";")
    assert sorted(parts) == sorted(f"{name}-{n}" for name in "abc" for n in range(50))
    assert store.integrity() == "ok"
    store.close()


def test_a_newer_store_is_refused_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    Store(path).close()
    connection = sqlite3.connect(path)
    connection.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
        " VALUES ('memagent', 'm999_future', '2030-01-01')"
    )
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"newer memagent .*m999_future.*upgrade"):
        Store(path)
    assert path.read_bytes() == before


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match=r"another program.*recipes"):
        Store(path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("These are my notes, not a database.\n" * 100)
    with pytest.raises(StoreError, match="not a memagent store"):
        Store(path)
    assert path.read_text().startswith("These are my notes")


def test_an_impossible_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="--store"):
        Store(tmp_path / "file" / "memory.db")


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="root needs setpriv to lose its powers")
def test_a_read_only_store_is_exit_5_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    Store(path).close()
    before = path.read_bytes()
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    program = [str(Path(sys.executable).with_name("memagent")), "memory", "list", "-n", "new"]
    if os.geteuid() == 0:
        program = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override", *program]
    result = subprocess.run(
        program,
        env={**os.environ, "MEMAGENT_STORE": str(path), "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    tmp_path.chmod(0o755)
    assert result.returncode == 5, result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "read-only" in result.stderr
    assert path.read_bytes() == before


def test_a_full_disk_loses_nothing_that_was_stored(store: Store) -> None:
    session = Sources(store, "default").session("talk")
    spans = Spans(store)
    kept = [spans.append_turn(session.id, "user", f"turn {n}") for n in range(10)]
    pages = store.rows("PRAGMA page_count")[0]["page_count"]
    store.rows(f"PRAGMA max_page_count = {pages + 8}")
    with pytest.raises(StoreError, match=r"no room left.*nothing stored was lost"):
        for _ in range(1000):
            kept.append(spans.append_turn(session.id, "user", "x" * 10_000))
    store.rows("PRAGMA max_page_count = 1073741823")
    assert spans.of(session.id) == kept
    assert store.integrity() == "ok"
    spans.append_turn(session.id, "user", "goes on")
