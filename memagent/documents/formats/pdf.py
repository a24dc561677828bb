"""PDF: a piece is a page, numbered from 1. Reads only the text layer; knows nothing of files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, BinaryIO

from memagent.documents.formats.base import Format
from memagent.documents.split import chunks
from memagent.errors import InputError
from memagent.types import Piece

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

__all__ = ["FORMAT", "read"]

_LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl"}
# PDFium writes \x02 for a hyphen at the end of a line and the line break after it.
_HYPHEN = re.compile(r"(?<=[^\W\d_])\x02(?=[^\W\d_A-Z])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]")


def read(stream: BinaryIO, name: str, max_bytes: int) -> Iterator[Piece]:
    """The pages that have text. Raises InputError if there are none, and for a locked or damaged
    file."""
    import pypdfium2
    from pypdfium2.raw import FPDF_ERR_PASSWORD

    try:
        document = pypdfium2.PdfDocument(stream)
    except pypdfium2.PdfiumError as error:
        if error.err_code == FPDF_ERR_PASSWORD:
            raise InputError(
                f"{name} is locked with a password: save a copy without one, for example with qpdf"
            ) from error
        raise InputError(
            f"{name} is damaged or not a PDF: open it in a viewer and save it again"
        ) from error
    silent = True
    with closing(document):
        for number in range(1, len(document) + 1):
            try:
                text = _clean(_page(document, number))
            except pypdfium2.PdfiumError as error:
                raise InputError(f"{name} is damaged at page {number}: repair it first") from error
            if text:
                silent = False
                for part in chunks([text]):
                    yield Piece(part, page=number)
    if silent:
        raise InputError(f"{name} has no text layer: run OCR first, for example ocrmypdf")


def _page(document: PdfDocument, number: int) -> str:
    with closing(document[number - 1]) as page, closing(page.get_textpage()) as text:
        return str(text.get_text_bounded())


def _clean(text: str) -> str:
    """The text with hyphenated words joined, ligatures spelled out, and \\n as line end."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").translate(_LIGATURES)
    text = _HYPHEN.sub("", text).replace("\x02", "-")
    text = _CONTROLS.sub("", text).strip()
    return f"{text}\n" if text else ""


FORMAT = Format("PDF", {".pdf": "application/pdf"}, read, magic=b"%PDF-")
