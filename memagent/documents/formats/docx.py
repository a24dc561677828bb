"""Word (.docx): a piece is the text under a heading; tables become tab-separated rows.

Reads the final text, with tracked insertions and without deletions; footnotes are at the end.
Knows nothing of files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from memagent.documents.archive import unpacked
from memagent.documents.formats.base import Format
from memagent.documents.outline import Outline
from memagent.documents.split import Line, sections
from memagent.types import Piece

if TYPE_CHECKING:
    from docx.document import Document as WordDocument

__all__ = ["FORMAT", "read"]

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_PARAGRAPH, _TABLE, _ROW, _CELL = _W + "p", _W + "tbl", _W + "tr", _W + "tc"
# Deleted or moved text, properties, and the second copy of a text box.
_LEFT_OUT = frozenset((_W + "del", _W + "moveFrom", _W + "pPr", _W + "rPr", _MC + "Fallback"))
_CHARACTERS = {
    _W + "tab": "\t",
    _W + "br": "\n",
    _W + "cr": "\n",
    _W + "noBreakHyphen": "-",
}
_HEADING = re.compile(r"heading ([1-9])", re.IGNORECASE)
_NOTES = {"footnote": "Footnotes", "endnote": "Endnotes"}


def read(stream: BinaryIO, name: str, max_bytes: int) -> Iterator[Piece]:
    """The sections of a document. Raises InputError if it is damaged, or unpacks to more than
    `max_bytes`."""
    import docx
    from docx.exceptions import PythonDocxError
    from docx.opc.exceptions import OpcError

    with unpacked(stream, name, "a Word document (.docx)", max_bytes) as archive:
        archive.getinfo("word/document.xml")
        stream.seek(0)
        try:
            lines = list(_mark(docx.Document(stream)))
        # The library hardly checks a file's structure, so damage raises arbitrary errors.
        except (OpcError, PythonDocxError, AttributeError, TypeError) as error:
            raise ValueError("its parts do not fit together") from error
    yield from sections(lines)


def _mark(document: WordDocument) -> Iterator[Line]:
    levels = _levels(document)
    outline, number, section = Outline(), 0, None
    for block in _find(document.element.body, _PARAGRAPH, _TABLE):
        if block.tag == _TABLE:
            yield number, section, _table(block)
            continue
        text = "".join(_text(block)).strip("\n")
        level = levels.get(block.style)
        if text.strip():
            if level is not None:
                number, section = number + 1, outline.enter(level, text)
            yield number, section, f"{text}\n\n"
    yield from _notes(document, number)


def _levels(document: WordDocument) -> dict[str, int]:
    """The heading level of each style that is, or is based on, a heading; a title has level 0."""
    levels = {}
    for style in document.styles:
        ancestor: Any = style
        for _ in range(10):  # in a damaged document, styles may be based on each other
            if ancestor is None or ancestor.name is None:
                break
            heading = _HEADING.fullmatch(ancestor.name)
            if heading or ancestor.name == "Title":
                levels[style.style_id] = int(heading[1]) if heading else 0
                break
            ancestor = getattr(ancestor, "base_style", None)
    return levels


def _find(container: Any, *tags: str) -> Iterator[Any]:
    """The elements of `tags` in document order, also in content controls and insertions."""
    for child in container:
        if child.tag in tags:
            yield child
        elif child.tag not in _LEFT_OUT:
            yield from _find(child, *tags)


def _text(element: Any) -> Iterator[str]:
    for child in element:
        if child.tag == _W + "t":
            yield child.text or ""
        elif child.tag in _CHARACTERS:
            yield _CHARACTERS[child.tag]
        elif child.tag not in _LEFT_OUT:
            yield from _text(child)
            if child.tag == _PARAGRAPH:
                yield "\n"


def _table(table: Any) -> str:
    rows = (
        "\t".join(" ".join("".join(_text(cell)).split()) for cell in _find(row, _CELL))
        for row in _find(table, _ROW)
    )
    text = "".join(f"{row}\n" for row in rows if row.strip())
    return f"{text}\n" if text else ""


def _notes(document: WordDocument, number: int) -> Iterator[Line]:
    from docx.oxml import parse_xml

    parts = {
        relation.reltype.rpartition("/")[2]: relation for relation in document.part.rels.values()
    }
    for kind, title in _NOTES.items():
        if f"{kind}s" not in parts:
            continue
        number += 1
        for note in parse_xml(parts[f"{kind}s"].target_part.blob):
            text = "".join(_text(note)).strip()
            if text:
                yield number, title, f"{text}\n\n"


FORMAT = Format(
    "Word",
    {".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
    read,
    member="word/document.xml",
)
