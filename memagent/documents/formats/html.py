"""HTML: a piece is the text under a heading, without navigation, scripts and styles.

Knows nothing of files; the EPUB reader uses it for chapters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

from memagent.documents.encoding import encoding_of
from memagent.documents.formats.base import Format
from memagent.documents.outline import Outline
from memagent.documents.split import Line, sections
from memagent.types import Piece

if TYPE_CHECKING:
    from bs4 import BeautifulSoup
    from bs4.element import PageElement, Tag

__all__ = ["FORMAT", "blocks", "parse", "read"]

_DROPPED = frozenset("head iframe nav noscript object script style svg template".split())
_LINES = frozenset("dd dt li tbody td tfoot th thead tr".split())
_BLOCKS = _LINES | frozenset(
    "address article aside blockquote body caption center details div dl fieldset figcaption "
    "figure footer form h1 h2 h3 h4 h5 h6 header hr html main menu ol p pre section summary "
    "table ul".split()
)
_HEADING = re.compile(r"h([1-6])")
# A row that contains one of these lays out the page; its cells are not a record.
_LAYOUT = "h1 h2 h3 h4 h5 h6 table ul ol dl pre blockquote".split()
# XHTML allows <script/> and <a id=""/>, which an HTML parser takes for opening tags.
_SELF_CLOSED = re.compile(
    r"""<(?!(?:area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr)\b)"""
    r"""([A-Za-z][\w:-]*)((?:[^<>"']|"[^"]*"|'[^']*')*)/>"""
)
_DECLARED = re.compile(rb"""(?:charset|<\?xml[^>]*encoding)\s*=\s*["']?([\w.:-]+)""")


def read(stream: BinaryIO, name: str, max_bytes: int) -> Iterator[Piece]:
    """The sections of a page; before the first heading the section is None."""
    return sections(_mark(parse(stream.read(), name)))


def parse(data: bytes, name: str) -> BeautifulSoup:
    """The tree of a page, decoded by its declared or detected encoding."""
    from bs4 import BeautifulSoup

    declared = _DECLARED.search(data[:4096])
    codec = encoding_of(BytesIO(data), name, declared[1].decode() if declared else None)
    markup = data.decode(codec)
    if "http://www.w3.org/1999/xhtml" in markup[:4096]:
        markup = _SELF_CLOSED.sub(r"<\1\2></\1>", markup)
    # With a doctype, the parser does not warn about pages that look like XML or like a URL.
    return BeautifulSoup("<!DOCTYPE html>" + markup, "lxml")


def blocks(soup: BeautifulSoup) -> list[tuple[int, str]]:
    """Headings (level 1 to 6) and other blocks (level 0) in order, with their line ends."""
    writer = _Writer()
    for node, opens in _walk(soup):
        writer.visit(node, opens)
    writer.flush("\n\n")
    return writer.blocks


def _mark(soup: BeautifulSoup) -> Iterator[Line]:
    outline, number, section = Outline(), 0, None
    for level, text in blocks(soup):
        if level:
            number, section = number + 1, outline.enter(level, text)
        yield number, section, text


def _walk(root: Tag) -> Iterator[tuple[PageElement, bool]]:
    """Each text once and each element twice: where it opens (True) and where it closes (False).

    Not recursive: pages may nest deeper than Python's stack.
    """
    from bs4.element import Tag

    open_tags: list[tuple[Tag, Iterator[PageElement]]] = [(root, iter(root.contents))]
    while open_tags:
        tag, children = open_tags[-1]
        node = next(children, None)
        if node is None:
            open_tags.pop()
            yield tag, False
        elif not isinstance(node, Tag):
            yield node, True
        elif node.name not in _DROPPED:
            open_tags.append((node, iter(node.contents)))
            yield node, True


class _Writer:
    """Collects inline text until a block ends."""

    def __init__(self) -> None:
        self.blocks: list[tuple[int, str]] = []
        self._inline: list[str] = []
        self._verbatim = 0
        self._lists = 0
        self._bullet = False  # a list item has begun and has no text yet
        self._one_line: Tag | None = None  # the heading or table row we are in
        self._cells = 0

    def visit(self, node: PageElement, opens: bool) -> None:
        from bs4.element import CData, NavigableString, Tag

        if isinstance(node, Tag):
            self._tag(node, opens)
        elif type(node) in (NavigableString, CData):  # the others are comments and declarations
            text = str(node)
            self._inline.append(text if self._verbatim else re.sub(r"\s+", " ", text))

    def flush(self, gap: str, level: int = 0) -> None:
        """End the block; `gap` is a line end, or a line end and a blank line."""
        text = "".join(self._inline)
        self._inline.clear()
        if self._verbatim:
            text = text.strip("\r\n").rstrip()
        else:
            text = re.sub(r" *([\t\n]) *", r"\1", re.sub(" +", " ", text)).strip(" \n")
        if text.strip():
            bullet = "- " if self._bullet else ""
            self._bullet = False
            self.blocks.append((level, bullet + text + gap))

    def _tag(self, tag: Tag, opens: bool) -> None:
        name = tag.name
        if name == "br":
            if opens:
                self._inline.append("\n" if self._one_line is None else " ")
        elif self._one_line is not None and tag is not self._one_line:
            if name in ("td", "th") and opens:
                self._inline.append("\t" if self._cells else "")
                self._cells += 1
            elif name in _BLOCKS:
                self._inline.append(" ")
        elif name in _BLOCKS:
            self._block(tag, opens)

    def _block(self, tag: Tag, opens: bool) -> None:
        name = tag.name
        heading = _HEADING.fullmatch(name)
        inner = name in ("ol", "ul") and (opens or self._lists > 1)
        gap = "\n" if inner or name in _LINES else "\n\n"
        self.flush(gap, int(heading[1]) if heading and not opens else 0)
        if not opens and gap == "\n\n" and self.blocks:
            level, text = self.blocks[-1]
            self.blocks[-1] = (level, text.rstrip("\n") + gap)
        step = 1 if opens else -1
        if name == "pre":
            self._verbatim += step
        elif name in ("ol", "ul"):
            self._lists += step
        elif name == "li":
            self._bullet = opens
        elif heading:
            self._one_line = tag if opens else None
        elif name == "tr":
            self._one_line = tag if opens and tag.find(_LAYOUT) is None else None
            self._cells = 0


def _begins_as_html(head: bytes) -> bool:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith(b"<?xml"):
        return b"<html" in start
    return start.startswith((b"<!doctype html", b"<html", b"<head", b"<body"))


FORMAT = Format(
    "HTML",
    dict.fromkeys((".html", ".htm", ".xhtml"), "text/html"),
    read,
    matches=_begins_as_html,
)
