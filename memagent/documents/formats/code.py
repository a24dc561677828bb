"""Source code in any language: a piece is a top-level definition or the code between two.

Works line by line, without a parser: code that it does not recognise stays in the text, without
a section. Knows nothing of files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from memagent.documents.encoding import lines
from memagent.documents.formats.base import Format
from memagent.documents.split import Line, sections
from memagent.types import Piece

__all__ = ["FORMAT", "read"]

_LANGUAGES = {
    "c": "c h",
    "c++": "cc cpp cxx hh hpp hxx cu cuh",
    "csharp": "cs",
    "dart": "dart",
    "elixir": "ex exs",
    "go": "go",
    "groovy": "groovy gradle",
    "haskell": "hs",
    "java": "java",
    "javascript": "js jsx mjs cjs",
    "julia": "jl",
    "kotlin": "kt kts",
    "lua": "lua",
    "objective-c": "m mm",
    "perl": "pl pm",
    "php": "php",
    "python": "py pyi",
    "r": "r",
    "ruby": "rb",
    "rust": "rs",
    "scala": "scala",
    "shell": "sh bash zsh",
    "sql": "sql",
    "swift": "swift",
    "typescript": "ts tsx",
    "zig": "zig",
}

_DEFINITION = re.compile(
    r"(?:(?:export|default|declare|pub(?:\([^)]*\))?|public|private|protected|internal|abstract"
    r"|final|sealed|static|async|unsafe|data|const|open|override|partial)\s+)*"
    r"(?:def|class|function\*?|fn|func|struct|enum|union|trait|interface|impl|module|object"
    r"|namespace|protocol|type)\s+(?:\([^)]*\)\s*)?(?:self\.)?([A-Za-z_$][\w$]*)"
)
_CLOSER = re.compile(r"[\s)\]{}]|(?:end|fi|done|esac)\b|\"\"\"|'''")
_LEADER = re.compile(r"@|#|//|/\*|--|\*")
_INSIDE = " \t)]*"  # first characters of the later lines of a decorator or block comment
_MOST_LEADERS = 200


def read(stream: BinaryIO, name: str, max_bytes: int) -> Iterator[Piece]:
    """The definitions at the left margin with their decorators and comments; section = name."""
    return sections(_mark(lines(stream, name)))


def _mark(source: Iterable[str]) -> Iterator[Line]:
    number, section = 0, None
    leaders: list[str] = []  # decorators and comments, which belong to the definition below
    starts_line = True
    for line in source:
        fresh, starts_line = starts_line, line.endswith(("\n", "\r"))
        definition = _DEFINITION.match(line) if fresh else None
        if fresh and _LEADER.match(line) and len(leaders) < _MOST_LEADERS:
            leaders.append(line)
            continue
        if leaders and _continues(leaders, line) and len(leaders) < _MOST_LEADERS:
            leaders.append(line)
            continue
        if definition:
            number, section = number + 1, definition[1]
        elif section is not None and fresh and not _CLOSER.match(line):
            number, section = number + 1, None
        for leader in leaders:
            yield number, section, leader
        leaders.clear()
        yield number, section, line
    for leader in leaders:
        yield number, section, leader


def _continues(leaders: list[str], line: str) -> bool:
    """Whether `line` continues a decorator or a block comment that spans several lines."""
    opener = next((leader for leader in reversed(leaders) if leader[0] not in _INSIDE), "")
    return opener.startswith(("@", "#[", "/*")) and line[0] in _INSIDE


FORMAT = Format(
    "source code",
    {
        f".{suffix}": f"text/x-{language}"
        for language, suffixes in _LANGUAGES.items()
        for suffix in suffixes.split()
    },
    read,
)
