"""Adding documents: a file is the same source however its path is written."""

from pathlib import Path

import pytest

from memagent.documents.ingest import ingest
from memagent.documents.open import open_document
from memagent.errors import InputError
from memagent.memory.namespace import Namespace


def _names(memory: Namespace) -> dict[str, str]:
    return {s.name: memory.spans.text(s.id) for s in memory.sources.all("document")}


def test_a_file_is_known_by_its_address(
    memory: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "notes.txt").write_text(f"These are the notes of {folder}.\n")
    monkeypatch.chdir(tmp_path / "one")
    assert ingest(memory, open_document(Path("notes.txt"))).source == "notes.txt"
    again = ingest(memory, open_document(tmp_path / "one" / "notes.txt"))
    assert (again.source, again.status) == ("notes.txt", "unchanged")
    monkeypatch.chdir(tmp_path / "two")
    other = ingest(memory, open_document(Path("notes.txt")))
    assert (other.source, other.status) == (str(tmp_path / "two" / "notes.txt"), "added")
    named = ingest(memory, open_document(Path("notes.txt"), name="second"))
    assert (named.source, named.status) == ("second", "added")
    assert _names(memory) == {
        "notes.txt": "These are the notes of one.\n",
        str(tmp_path / "two" / "notes.txt"): "These are the notes of two.\n",
        "second": "These are the notes of two.\n",
    }


def test_an_interrupted_file_resumes_after_its_last_piece(
    memory: Namespace, tmp_path: Path
) -> None:
    path = tmp_path / "long.txt"
    path.write_text("".join(f"Paragraph {n} of a long text.\n\n" * 40 for n in range(800)))

    class StopError(Exception):
        pass

    def stop_at_second(spans: int, chars: int) -> None:
        if spans > 32:
            raise StopError

    with pytest.raises(StopError):
        ingest(memory, open_document(path, name="long"), committed=stop_at_second)
    source = memory.sources.get("long")
    assert not source.complete
    stored = memory.spans.text(source.id)
    assert path.read_text().startswith(stored)
    assert len(stored) == source.chars > 0
    commits: list[int] = []
    added = ingest(
        memory,
        open_document(path, name="long"),
        committed=lambda spans, chars: commits.append(spans),
    )
    assert added.status == "resumed"
    assert commits[0] > 64
    assert memory.spans.text(source.id) == path.read_text()
    assert memory.sources.get("long").complete


def test_a_document_without_words_leaves_no_trace(memory: Namespace, tmp_path: Path) -> None:
    path = tmp_path / "blank.txt"
    path.write_text(" \n\n ")
    with pytest.raises(InputError, match="no words"):
        ingest(memory, open_document(path))
    assert memory.sources.all() == []
