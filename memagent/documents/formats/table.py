"""Every format that can be read: to add one, write its file and add it to `FORMATS`."""

from __future__ import annotations

from memagent.documents.formats import code, docx, epub, html, markdown, pdf, text
from memagent.documents.formats.base import Format

__all__ = ["FORMATS", "PLAIN_TEXT", "format_of"]

PLAIN_TEXT = text.FORMAT
FORMATS = (
    PLAIN_TEXT,
    markdown.FORMAT,
    html.FORMAT,
    pdf.FORMAT,
    docx.FORMAT,
    epub.FORMAT,
    code.FORMAT,
)


def format_of(media_type: str) -> Format:
    """The format that has this media type, plain text if none has."""
    found = (each for each in FORMATS if media_type in each.media_types.values())
    return next(found, PLAIN_TEXT)
