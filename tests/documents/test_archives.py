"""Word and EPUB documents: what their readers make of real files, and what they refuse."""

import io
import zipfile

import docx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from memagent.documents import open_document
from tests.documents.reading import pieces, refusal, sections


def word():
    document = docx.Document()
    document.add_heading("Report", 0)
    document.add_paragraph("Lead.")
    document.add_heading("Part", 1)
    paragraph = document.add_paragraph("Some ")
    paragraph.add_run("bold").bold = True
    paragraph.add_run("\ttext")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(table._cells, ("Name", "Size", "a b", "3"), strict=True):
        cell.text = text
    document.add_heading("Detail", 2)
    document.add_paragraph("After the table.")
    return document


def saved(document):
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()


def test_word_gives_sections_and_tables_in_order(tmp_path):
    assert sections(pieces(tmp_path, "a.docx", saved(word()))) == [
        ("Report", "Report\n\nLead.\n\n"),
        ("Report > Part", "Part\n\nSome bold\ttext\n\nName\tSize\na b\t3\n\n"),
        ("Report > Part > Detail", "Detail\n\nAfter the table.\n\n"),
    ]


def test_word_gives_the_final_text_of_tracked_changes_and_content_controls(tmp_path):
    document = docx.Document()
    space = nsdecls("w")
    body = document.element.body
    for content in (
        "<w:r><w:t>The </w:t></w:r><w:ins><w:r><w:t>new </w:t></w:r></w:ins>"
        "<w:del><w:r><w:delText>old </w:delText></w:r></w:del>"
        "<w:hyperlink><w:r><w:t>text</w:t></w:r></w:hyperlink>",
        "<w:pPr><w:tabs><w:tab w:val='left' w:pos='1'/></w:tabs></w:pPr><w:r><w:t>Tab</w:t></w:r>",
    ):
        body.insert(0, parse_xml(f"<w:p {space}>{content}</w:p>"))
    control = "<w:sdtContent><w:p><w:r><w:t>Control</w:t></w:r></w:p></w:sdtContent>"
    body.insert(0, parse_xml(f"<w:sdt {space}>{control}</w:sdt>"))
    found = pieces(tmp_path, "a.docx", saved(document))
    assert [piece.text for piece in found] == ["Control\n\nTab\n\nThe new text\n\n"]


def test_word_footnotes_follow_at_the_end(tmp_path):
    from docx.opc.packuri import PackURI
    from docx.opc.part import Part

    document = word()
    notes = (
        f'<w:footnotes {nsdecls("w")}><w:footnote w:type="separator" w:id="0"><w:p/></w:footnote>'
        '<w:footnote w:id="1"><w:p><w:r><w:t>See there.</w:t></w:r></w:p></w:footnote>'
        "</w:footnotes>"
    )
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.footnotes+xml"
    part = Part(PackURI("/word/footnotes.xml"), kind, notes.encode(), document.part.package)
    relation = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"
    document.part.relate_to(part, relation)
    found = pieces(tmp_path, "a.docx", saved(document))
    assert sections(found)[-1] == ("Footnotes", "See there.\n\n")


def rezipped(content, change):
    """The archive with every entry as `change(name, bytes)` gives it; None leaves it out."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            data = change(name, old.read(name))
            if data is not None:
                new.writestr(name, data)
    return stream.getvalue()


def test_word_files_that_cannot_be_read_are_refused(tmp_path):
    whole = saved(word())
    without = {
        part: rezipped(whole, lambda name, data, part=part: None if name == part else data)
        for part in ("[Content_Types].xml", "_rels/.rels", "word/document.xml")
    }
    loose = rezipped(whole, lambda name, data: data.replace(b"Target=", b"Aim="))
    torn = rezipped(whole, lambda name, data: data[:300] if name.endswith("document.xml") else data)
    flipped = bytearray(whole)
    flipped[whole.index(b"word/document.xml") + 40] ^= 0xFF
    for broken in (
        *without.values(),
        loose,
        torn,
        bytes(flipped),
        whole[:900],
        b"PK\x03\x04",
        b"text",
    ):
        assert "damaged or not a Word document" in refusal(tmp_path, "a.docx", broken)
    old = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    assert "protected by a password or in the old" in refusal(tmp_path, "a.docx", old)
    assert refusal(tmp_path, "a.docx", whole, max_bytes=len(whole)).endswith("with --max-mb")
    assert "no words" in refusal(tmp_path, "a.docx", saved(docx.Document()))


CONTAINER = """<?xml version="1.0"?>
<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>
<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/>
</rootfiles></container>"""
PACKAGE = """<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><manifest>
<item id="b" href="text/b.xhtml" media-type="application/xhtml+xml"/>
<item id="a" href="text/chapter%20a.xhtml" media-type="application/xhtml+xml"/>
<item id="pic" href="pic.jpg" media-type="image/jpeg"/>
</manifest><spine><itemref idref="a"/><itemref idref="pic"/><itemref idref="b"/></spine></package>
"""
PAGE = """<?xml version="1.0" encoding="utf-8"?>
<html xmlns="http://www.w3.org/1999/xhtml"><head><title>{}</title><script src="x"/></head>
<body>{}</body></html>"""
BOOK = {
    "mimetype": "application/epub+zip",
    "META-INF/container.xml": CONTAINER,
    "OEBPS/book.opf": PACKAGE,
    "OEBPS/text/chapter a.xhtml": PAGE.format("A", '<h1>One<a id="x"/></h1><p>Café.</p>'),
    "OEBPS/text/b.xhtml": PAGE.format("Last words", "<p>The end.</p>"),
    "OEBPS/pic.jpg": "\xff\xd8",
}


def epub(files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return stream.getvalue()


@pytest.mark.parametrize("name", ["a.epub", "book"])
def test_an_epub_gives_its_chapters_in_reading_order(tmp_path, name):
    assert sections(pieces(tmp_path, name, epub(BOOK))) == [
        ("One", "One\n\nCafé.\n\n"),
        ("Last words", "The end.\n\n"),
    ]


def test_epubs_that_cannot_be_read_are_refused(tmp_path):
    for missing in ("META-INF/container.xml", "OEBPS/book.opf", "OEBPS/text/b.xhtml"):
        files = {name: text for name, text in BOOK.items() if name != missing}
        assert "damaged or not an EPUB book" in refusal(tmp_path, "a.epub", epub(files))
    for damage in (epub(BOOK)[:500], b"not a book"):
        assert "damaged or not" in refusal(tmp_path, "a.epub", damage)
    no_book = epub({**BOOK, "META-INF/container.xml": "<container/>"})
    assert "names no book" in refusal(tmp_path, "a.epub", no_book)
    locked = (
        "<encryption><CipherData><CipherReference URI='OEBPS/text/b.xhtml'/></CipherData>"
        "</encryption>"
    )
    assert "locked (DRM)" in refusal(
        tmp_path, "a.epub", epub({**BOOK, "META-INF/encryption.xml": locked})
    )


def test_an_archive_that_unpacks_to_more_than_the_limit_is_refused(tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in BOOK.items():
            archive.writestr(name, text)
        archive.writestr("OEBPS/zeros", bytes(5 << 20))
    bomb = stream.getvalue()
    message = refusal(tmp_path, "a.epub", bomb, max_bytes=1 << 20)
    assert message == "a.epub unpacks to 5 MB, over the limit of 1 MB: raise it with --max-mb"


def test_reading_twice_gives_the_same_pieces(tmp_path):
    for name, content in (("a.docx", saved(word())), ("a.epub", epub(BOOK))):
        path = tmp_path / name
        path.write_bytes(content)
        document = open_document(path)
        assert list(document.pieces()) == list(document.pieces())
