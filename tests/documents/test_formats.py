"""Markdown, source code, HTML and PDF: the pieces, pages and sections their readers make."""

import pytest
from fpdf import FPDF

from memagent.documents import open_document
from tests.documents.reading import pieces, refusal, sections


def test_markdown_sections_are_the_paths_of_headings(tmp_path):
    text = (
        "---\ntitle: Front\n---\n\nLead.\n\n# One ##\nText.\n\n## Two\n\n"
        "```sh\n# no heading\n```\n\n- item\n---\n\n> said\n---\n\n"
        "Second\npart\n======\r\nMore.\n<!--\n# no heading\n-->\n\n### C# code\nx\n#not a heading\n"
    )
    found = pieces(tmp_path, "a.md", text)
    assert "".join(piece.text for piece in found) == text
    assert [piece.section for piece in found] == [
        None,
        "One",
        "One > Two",
        "Second part",
        "Second part > C# code",
    ]
    assert found[1].text == "# One ##\nText.\n\n"
    assert found[3].text.startswith("Second\npart\n======\r\nMore.")


def test_a_rule_on_top_of_markdown_is_not_front_matter(tmp_path):
    found = pieces(tmp_path, "a.md", "---\n\n# One\nText\n\nTwo\n---\nMore\n")
    assert [piece.section for piece in found] == [None, "One", "One > Two"]


def test_a_long_section_is_cut_and_keeps_its_section(tmp_path):
    found = pieces(tmp_path, "a.md", "# One\n" + "Word and word.\n" * 1000 + "# Two\nx\n")
    assert [piece.section for piece in found] == ["One", "One", "Two"]
    assert all(piece.text.endswith("\n") for piece in found)


def test_source_code_is_cut_at_its_top_level_definitions(tmp_path):
    text = (
        '"""Doc."""\nimport os\n\n\n# about f\n@cache\n@mark(\n    1,\n)\n'
        "def f(\n    a,\n) -> int:\n    return a\n\n\n"
        "class C:\n    def method(self):\n        pass\n\n\nasync def g(): ...\n\n\nf(1)\n# end\n"
    )
    found = pieces(tmp_path, "a.py", text)
    assert "".join(piece.text for piece in found) == text
    assert [piece.section for piece in found] == [None, "f", "C", "g", None]
    assert found[1].text.startswith("# about f\n@cache\n")


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        ("a.rs", "use x;\n\n/// Doc\n#[derive(A)]\npub struct S {\n    a: u8,\n}\n", [None, "S"]),
        ("a.go", "package a\n\nfunc (s *S) Run() {\n}\n\nvar x = 1\n", [None, "Run", None]),
        ("a.js", "/**\n * Doc\n */\nexport async function go() {\n}\nclass B {}\n", ["go", "B"]),
        ("a.cs", "namespace N\n{\n  class A {}\n}\n", ["N"]),
        ("a.rb", "module M\n  x\nend\n\nputs 1\n", ["M", None]),
        ("a.c", "#include <x>\n\nint main(void)\n{\n}\n", [None]),
    ],
)
def test_definitions_are_recognised_in_other_languages(tmp_path, name, text, names):
    assert [piece.section for piece in pieces(tmp_path, name, text)] == names


HTML = """<!DOCTYPE html>
<html><head><title>T</title><style>p{}</style></head><body>
<nav>Home | About</nav><script>var x = "<h1>no</h1>";</script><!-- comment -->
<h1>Guide <small>to</small><br>memory</h1>
<p>First  <b>para</b>graph,
with&nbsp;<a href="#">a link</a>.</p>Loose text
<h2><div>Lists</div></h2>
<ul><li>one</li><li><p>two</p><ul><li>deep</li></ul></li></ul>
<table><tr><th>Name</th> <th>Size</th></tr><tr><td></td><td><p>3</p></td></tr></table>
<h2>Code</h2><pre>
def f():
    return  1
</pre><p>End.<br>Really.</p>
<template>hidden</template></body></html>"""


def test_html_becomes_readable_text_in_sections(tmp_path):
    assert sections(pieces(tmp_path, "a.html", HTML)) == [
        (
            "Guide to memory",
            "Guide to memory\n\nFirst paragraph, with a link.\n\nLoose text\n\n",
        ),
        ("Guide to memory > Lists", "Lists\n\n- one\n- two\n\n- deep\n\nName\tSize\n\t3\n\n"),
        (
            "Guide to memory > Code",
            "Code\n\ndef f():\n    return  1\n\nEnd.\nReally.\n\n",
        ),
    ]


def test_a_table_that_lays_out_the_page_keeps_its_headings(tmp_path):
    text = "<table><tr><td><h1>Title</h1><p>One.</p><p>Two.</p></td></tr></table>"
    assert sections(pieces(tmp_path, "a.html", text)) == [("Title", "Title\n\nOne.\n\nTwo.\n\n")]


def test_html_in_a_declared_encoding_and_without_any_markup(tmp_path):
    page = '<meta charset="koi8-r"><p>Да, и нет.</p>'
    assert pieces(tmp_path, "a.html", page.encode("koi8_r"))[0].text == "Да, и нет.\n\n"
    nonsense = '<meta charset="hex"><p>naïve café</p>'
    assert pieces(tmp_path, "c.html", nonsense.encode("cp1252"))[0].text == "naïve café\n\n"
    assert pieces(tmp_path, "b.html", "http://localhost/x")[0].text == "http://localhost/x\n\n"


def test_html_nested_deeper_than_the_stack_is_read(tmp_path):
    page = "<div>" * 3000 + "deep" + "</div>" * 3000
    assert pieces(tmp_path, "a.html", page)[0].text == "deep\n\n"


def pdf(*pages, size=12, **encryption):
    document = FPDF()
    if encryption:
        document.set_encryption(**encryption)
    document.set_font("helvetica", size=size)
    for text in pages:
        document.add_page()
        document.multi_cell(0, size / 2, text)
        document.rect(10, 200, 50, 50)
    return bytes(document.output())


def test_a_pdf_gives_its_pages(tmp_path):
    long = "A sentence of this page. " * 500
    found = pieces(tmp_path, "a.pdf", pdf("First page,\nsecond line.", "", long))
    assert (found[0].page, found[0].text) == (1, "First page,\nsecond line.\n")
    assert [piece.page for piece in found[1:]] == list(range(3, 2 + len(found)))
    assert " ".join("".join(piece.text for piece in found[1:]).split()) == long.strip()


def test_a_page_of_small_print_is_cut_and_keeps_its_number(tmp_path):
    found = pieces(tmp_path, "a.pdf", pdf("A sentence of this page. " * 400, size=4))
    assert [piece.page for piece in found] == [1, 1]
    assert found[0].text.endswith("\n")


def test_words_hyphenated_at_a_line_end_are_joined(tmp_path):
    found = pieces(tmp_path, "a.pdf", pdf("A hyphenated exam-\nple of Jean-\nPaul.\n1990-\n1995"))
    assert found[0].text == "A hyphenated example of Jean-Paul.\n1990-\n1995\n"


def test_pdfs_that_cannot_be_read_are_refused(tmp_path):
    assert refusal(tmp_path, "scan.pdf", pdf("", "")) == (
        "scan.pdf has no text layer: run OCR first, for example ocrmypdf"
    )
    locked = pdf("secret", owner_password="a", user_password="b")
    assert "locked with a password" in refusal(tmp_path, "locked.pdf", locked)
    open_to_read = pdf("not secret", owner_password="a")
    assert pieces(tmp_path, "open.pdf", open_to_read)[0].text == "not secret\n"
    whole = pdf("text")
    for broken in (whole[: len(whole) // 2], b"not a PDF", b"%PDF-1.7\n"):
        assert "damaged or not a PDF" in refusal(tmp_path, "broken.pdf", broken)


def test_reading_twice_gives_the_same_pieces(tmp_path):
    for name, content in (
        ("a.pdf", pdf("one", "two")),
        ("a.html", HTML.encode()),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        document = open_document(path)
        assert list(document.pieces()) == list(document.pieces())
