"""Opening documents: names, fingerprints, encodings, limits, and every refusal in one line."""

import hashlib
import io
import os
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memagent.documents import Document, open_document, read_stdin
from memagent.documents.split import LIMIT, chunks
from memagent.errors import InputError, NotFoundError


def text_of(document: Document) -> str:
    return "".join(piece.text for piece in document.pieces())


def written(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(folder, name, content, **options):
    """The message with which a file of this content is refused; always a single line."""
    with pytest.raises(InputError) as caught:
        text_of(open_document(written(folder, name, content), name=name, **options))
    message = str(caught.value)
    assert message.startswith(name)
    assert "\n" not in message
    return message


def test_a_document_carries_its_name_address_fingerprint_and_kind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, "two words.txt", "Hello.\n")
    document = open_document(path.relative_to(tmp_path))
    assert document.name == "two words.txt"
    assert document.uri == path.as_uri()
    assert document.sha256 == hashlib.sha256(b"Hello.\n").hexdigest()
    assert document.media_type == "text/plain"
    assert open_document(path, name="other").name == "other"


@pytest.mark.parametrize(
    ("name", "content", "media_type"),
    [
        ("notes", "plain", "text/plain"),
        ("notes.md", "# A", "text/markdown"),
        ("notes.MARKDOWN", "# A", "text/markdown"),
        ("tool.py", "x = 1", "text/x-python"),
        ("table.csv", "a,b", "text/csv"),
        ("page", "\n<!DOCTYPE html><p>x", "text/html"),
        ("page", '<?xml version="1.0"?><html xmlns="x"/>', "text/html"),
        ("paper", "%PDF-1.7 ...", "application/pdf"),
        ("about-html.txt", "<html> is a tag", "text/plain"),
        ("BMW", "BMW, MZ and ID3 are words", "text/plain"),
    ],
)
def test_the_kind_is_taken_from_the_ending_else_from_the_content(
    tmp_path, name, content, media_type
):
    assert open_document(written(tmp_path, name, content)).media_type == media_type


@pytest.mark.parametrize("ending", ["txt", "md", "py", "js"])
@given(text=st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1))
def test_the_pieces_of_any_text_are_that_text(ending, text):
    text = f"{text}x"
    document = read_stdin(io.BytesIO(text.encode()), name=f"any.{ending}")
    assert text_of(document) == text.removeprefix("\ufeff")


@pytest.mark.parametrize("ending", ["txt", "md", "py"])
@given(
    words=st.lists(
        st.sampled_from(
            "# A\n|B\n|===\n|---\n|```\n|def f():\n|    x\n|@d\n|\r\n|\n|\r|word |Sentence. "
            "|- a\n|<!--\n|-->|long".replace("long", "語" * 3000 + "|" + "x" * 9000).split("|")
        ),
        max_size=40,
    )
)
def test_no_piece_is_long_or_blank_and_none_loses_a_character(ending, words):
    text = "".join(words) + "end"
    pieces = list(read_stdin(io.BytesIO(text.encode()), name=f"any.{ending}").pieces())
    assert "".join(piece.text for piece in pieces) == text
    assert all(len(piece.text) <= LIMIT for piece in pieces)
    assert pieces[0].text.strip()


@given(st.lists(st.sampled_from(["a", "b. ", "\n", "\n\n", "\r\n", "é", "e\u0301"]), max_size=200))
def test_cuts_depend_on_the_text_and_not_on_how_it_was_parted(parts):
    text = "".join(parts)
    assert list(chunks(parts, 20)) == list(chunks([text], 20))
    assert "".join(chunks(parts, 20)) == text


def test_long_text_is_cut_at_the_best_place():
    assert list(chunks(["One one.\n\nTwo two.\nTwo"], 20)) == ["One one.\n\n", "Two two.\nTwo"]
    assert list(chunks(["One one one.\nTwo two. Two"], 20)) == ["One one one.\n", "Two two. Two"]
    assert list(chunks(["One one one. Two two two"], 20)) == ["One one one. ", "Two two two"]
    assert list(chunks(["One one one two two two"], 20)) == ["One one one two two ", "two"]
    assert list(chunks(["x" * 25], 20)) == ["x" * 20, "x" * 5]


SAMPLES = {
    "cp1252": "Le café était fermé ; “où” êtes-vous allés ? Ça coûte 5 €…\r\nTrès bien.",
    "latin-1": "Straße in München: schöne Übungen, daß es äußerst gefällt.",
    "cp1250": "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "cp1251": "Привет, это русский текст о памяти и забвении.",
    "koi8_r": "Привет, это русский текст о памяти и забвении.",
    "shift_jis": "これは日本語のテキストです。吾輩は猫である。名前はまだ無い。",
    "gb18030": "这是一个中文文本，关于记忆的测试文件。",
    "big5": "這是一個中文文本，關於記憶的測試文件。",
    "euc_kr": "이것은 한국어 텍스트입니다. 기억에 관한 시험.",
    "utf-8-sig": "Marked, naïve.",
    "utf-16": "Marked: 記憶 and é.\r\n",
    "utf-32": "Marked: 記憶 and é.\r\n",
}


@pytest.mark.parametrize("encoding", SAMPLES)
def test_text_is_decoded_from_the_encoding_it_is_in(tmp_path, encoding):
    text = "An English line.\r\n" * 3 + SAMPLES[encoding]
    path = written(tmp_path, "letter.txt", text.encode(encoding))
    assert text_of(open_document(path)) == text


@pytest.mark.parametrize("encoding", ["cp1252", "shift_jis"])
def test_the_first_foreign_letter_may_stand_far_down_the_file(tmp_path, encoding):
    text = "An English line.\n" * 200_000 + (SAMPLES[encoding] + "\n") * 3
    path = written(tmp_path, "letter.txt", text.encode(encoding))
    assert text_of(open_document(path)) == text


def test_a_long_line_of_multibyte_text_is_decoded(tmp_path):
    text = SAMPLES["shift_jis"] * 30_000
    path = written(tmp_path, "one-line.txt", text.encode("shift_jis"))
    assert text_of(open_document(path)) == text


def test_text_that_no_encoding_fits_is_refused(tmp_path):
    late = "naïve façade €\n".encode() * 100_000 + b"\xff\xfe broken"
    assert "damaged UTF-8 at byte 1,900,000" in refusal(tmp_path, "late.txt", late)
    assert "damaged at byte 6" in refusal(tmp_path, "odd.txt", "ab".encode("utf-16") + b"\0")
    unknown = bytes(range(0x80, 0x100)) * 8
    assert "no encoding that memagent recognises" in refusal(tmp_path, "noise.txt", unknown)


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("photo.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG image"),
        ("photo.txt", b"\x89PNG\r\n\x1a\n\0\0", "PNG image"),
        ("tool", b"\x7fELF\x02\x01", "ELF program"),
        ("setup", b"MZ\x90\0\x03\0", "Windows program"),
        ("notes.md", b"\x1f\x8b\x08\0", "gzip archive"),
        ("letter.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Office document"),
        ("letter.rtf", b"{\\rtf1\\ansi", "RTF document"),
        ("data", b"some\0thing", "it has NUL bytes"),
    ],
)
def test_binary_files_are_refused_by_what_they_are(tmp_path, name, content, kind):
    message = refusal(tmp_path, name, content)
    assert f"looks binary ({kind})" in message
    assert message.endswith("reads text, Markdown, HTML, PDF, Word, EPUB and source code")


def test_a_zip_without_a_document_in_it_is_refused(tmp_path):
    path = tmp_path / "files.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "text")
    assert "(ZIP archive)" in refusal(tmp_path, "files.zip", path.read_bytes())


def test_a_nul_far_into_a_text_is_refused(tmp_path):
    assert "looks binary" in refusal(tmp_path, "a.log", b"line\n" * 5000 + b"\0" + b"line\n")


def test_a_document_without_words_is_refused(tmp_path):
    assert refusal(tmp_path, "notes.txt", "") == "notes.txt is empty: there is nothing to add"
    for name in ("blank.txt", "blank.md", "blank.py", "blank.html"):
        assert "no words" in refusal(tmp_path, name, " \n\t\r\n" * 3000)
    assert "no words" in refusal(tmp_path, "scripts.html", "<html><script>go()</script></html>")


def test_size_is_limited(tmp_path):
    assert refusal(tmp_path, "big.txt", "x" * 2048, max_bytes=1536) == (
        "big.txt is 2 KB, over the limit of 1.5 KB: raise it with --max-mb"
    )
    huge = tmp_path / "huge.txt"
    with huge.open("wb") as stream:
        stream.truncate(3_435_973_837)  # sparse: takes no room on disk
    with pytest.raises(InputError, match=r"is 3.2 GB, over the limit of 512 MB: raise it with"):
        open_document(huge)


def test_only_files_are_opened(tmp_path):
    with pytest.raises(NotFoundError, match=r"missing\.txt does not exist"):
        open_document(tmp_path / "missing.txt")
    with pytest.raises(InputError, match="is a folder"):
        open_document(tmp_path)
    os.mkfifo(tmp_path / "queue")
    with pytest.raises(InputError, match="is a pipe or a device"):
        open_document(tmp_path / "queue")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(InputError, match="cannot be read: too many levels of symbolic links"):
        open_document(loop)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path):
    path = written(tmp_path, "secret.txt", "secret")
    path.chmod(0)
    with pytest.raises(InputError, match=r"secret.txt cannot be read: permission denied"):
        open_document(path)


def test_a_file_that_changes_between_fingerprint_and_reading_is_refused(tmp_path):
    path = written(tmp_path, "log.txt", "first line\n")
    document = open_document(path)
    pieces = document.pieces()
    path.write_text("first line\nsecond line\n")
    with pytest.raises(InputError, match="was changed while it was read"):
        next(pieces)
    path.unlink()
    with pytest.raises(NotFoundError):
        next(document.pieces())


def test_a_file_name_that_is_no_text_can_still_be_shown(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.txt")
    path.write_text("coffee")
    document = open_document(path)
    assert document.name.endswith("caf\ufffd.txt")
    assert document.uri is not None
    assert document.uri.endswith("caf%E9.txt")


@pytest.mark.parametrize("repeat", [1, 600_000])
def test_a_pipe_can_be_read_again_whether_small_or_large(repeat):
    text = "One paragraph.\n\n" * repeat
    document = read_stdin(io.BytesIO(text.encode()), name="stdin", max_bytes=1 << 24)
    assert document.uri is None
    assert document.sha256 == hashlib.sha256(text.encode()).hexdigest()
    first = document.pieces()
    next(first)
    assert text_of(document) == text_of(document) == text
    assert repeat == 1 or next(first).text.startswith("One paragraph.")


def test_a_pipe_has_limits_too():
    with pytest.raises(InputError, match="stdin is more than 1 KB, over the limit of 1 KB"):
        read_stdin(io.BytesIO(b"x" * 1025), name="stdin", max_bytes=1024)
    with pytest.raises(InputError, match="stdin is empty"):
        read_stdin(io.BytesIO(), name="stdin")
    with pytest.raises(InputError, match="JPEG"):
        read_stdin(io.BytesIO(b"\xff\xd8\xff\xe0"), name="stdin")
