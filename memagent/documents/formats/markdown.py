"""Markdown: a piece is the text under a heading; its section is the path of headings to it.

Follows CommonMark's rules for ATX and setext headings; a `#` in fenced code, in a comment or in
front matter is not a heading. The text is unchanged, markup included. Knows nothing of files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import BinaryIO

from memagent.documents.encoding import lines
from memagent.documents.formats.base import Format
from memagent.documents.outline import Outline
from memagent.documents.split import Line, sections
from memagent.types import Piece

__all__ = ["FORMAT", "read"]

_ATX = re.compile(r" {0,3}(#{1,6})[ \t]+(\S.*)")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*[\r\n]*$")
_FENCE = re.compile(r"\s*(`{3,})[^`]*$|\s*(~{3,})")
_COMMENT = re.compile(r" {0,3}<!--(?!.*-->)")
# Lists, quotations, tables, HTML, indented code: a rule below these does not make a heading.
_NO_PARAGRAPH = re.compile(r"\t| {4}| {0,3}(?:[-+*][ \t]|\d{1,9}[.)][ \t]|[>|<])")
_LONGEST_TITLE = 16  # lines of a paragraph that a rule below may turn into a heading
_LONGEST_FRONT = 200  # lines of front matter; if there are more, the first line was a rule


def read(stream: BinaryIO, name: str, max_bytes: int) -> Iterator[Piece]:
    """The sections of a Markdown file; before the first heading the section is None."""
    return sections(_mark(lines(stream, name)))


def _mark(source: Iterable[str]) -> Iterator[Line]:
    """Each line with the number of its section and the path of headings above it."""
    front, rest = _front_matter(iter(source))
    yield from ((0, None, line) for line in front)
    outline, number, section = Outline(), 0, None
    paragraph: list[str] | None = []  # its lines so far; None inside a list, a quotation, …
    until: re.Pattern[str] | None = None  # what ends the fence or comment we are in
    starts_line = True
    for line in rest:
        fresh, starts_line = starts_line, line.endswith(("\n", "\r"))
        rule, opens = _SETEXT.match(line), _opens(line)
        title = None if opens else _title(line)
        if not fresh or until is not None:
            held, paragraph = paragraph or [], []
            if until is not None and until.search(line):
                until = None
        elif rule and paragraph:
            number, level = number + 1, 1 if rule[1][0] == "=" else 2
            section = outline.enter(level, " ".join(paragraph))
            held, paragraph = paragraph, []
        elif title or opens:
            for earlier in paragraph or []:
                yield number, section, earlier
            held, paragraph, until = [], [], opens
            if title:
                number, section = number + 1, outline.enter(*title)
        elif line.isspace() or _NO_PARAGRAPH.match(line) or paragraph is None:
            held = paragraph or []
            paragraph = [] if line.isspace() else None
        elif len(paragraph) < _LONGEST_TITLE:
            paragraph.append(line)
            continue
        else:
            held, paragraph = paragraph, None
        for earlier in (*held, line):
            yield number, section, earlier
    for earlier in paragraph or []:
        yield number, section, earlier


def _title(line: str) -> tuple[int, str] | None:
    """Level and text of an ATX heading, without the closing marks."""
    heading = _ATX.match(line)
    if heading is None:
        return None
    words = heading[2].rstrip()
    bare = words.rstrip("#")
    if not bare or bare[-1] in " \t":
        words = bare.rstrip()
    return (len(heading[1]), words) if words else None


def _opens(line: str) -> re.Pattern[str] | None:
    """The pattern of the end, if `line` opens a fence or a comment of several lines."""
    if fence := _FENCE.match(line):
        mark = fence[1] or fence[2]
        return re.compile(rf"^\s*{mark[0]}{{{len(mark)},}}\s*$")
    return re.compile("-->") if _COMMENT.match(line) else None


def _front_matter(source: Iterator[str]) -> tuple[list[str], Iterator[str]]:
    """The block between two `---` (or `+++`) at the top, and the lines after it."""
    head: list[str] = []
    for line in source:
        head.append(line)
        mark = head[0].strip()
        if mark not in ("---", "+++") or len(head) > _LONGEST_FRONT:
            break
        if len(head) == 2 and line.isspace():  # a rule, and not the start of front matter
            break
        if len(head) > 1 and line.rstrip() in (mark, "..."):
            return head, source
    return [], chain(head, source)


FORMAT = Format(
    "Markdown",
    dict.fromkeys((".md", ".markdown", ".mdown", ".mkd", ".mdx", ".qmd", ".rmd"), "text/markdown"),
    read,
)
