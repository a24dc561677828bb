"""What kind of document some bytes are, by their name's ending and by how they begin.

Knows nothing of readers.
"""

from __future__ import annotations

import zipfile
from pathlib import PurePath
from typing import BinaryIO

from memagent.documents.encoding import BOMS
from memagent.errors import InputError

__all__ = ["CODE", "DOCX", "EPUB", "HTML", "MARKDOWN", "PDF", "TEXT", "media_type"]

TEXT, MARKDOWN, HTML, PDF = "text/plain", "text/markdown", "text/html", "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
EPUB = "application/epub+zip"

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
CODE = frozenset(f"text/x-{language}" for language in _LANGUAGES)

_ENDINGS = {
    **dict.fromkeys((".md", ".markdown", ".mdown", ".mkd", ".mdx", ".qmd", ".rmd"), MARKDOWN),
    **dict.fromkeys((".html", ".htm", ".xhtml"), HTML),
    **dict.fromkeys((".txt", ".text", ".log"), TEXT),
    ".pdf": PDF,
    ".docx": DOCX,
    ".epub": EPUB,
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".toml": "application/toml",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".xml": "application/xml",
    ".rst": "text/x-rst",
    ".tex": "text/x-tex",
    **{
        f".{ending}": f"text/x-{language}"
        for language, endings in _LANGUAGES.items()
        for ending in endings.split()
    },
}

_BINARY = {
    b"\xff\xd8\xff": "JPEG image",
    b"\x89PNG\r\n\x1a\n": "PNG image",
    b"GIF8": "GIF image",
    b"II*\0": "TIFF image",
    b"MM\0*": "TIFF image",
    b"BM": "BMP image",
    b"RIFF": "RIFF image, sound or film",
    b"ID3": "MP3 sound",
    b"OggS": "Ogg sound or film",
    b"fLaC": "FLAC sound",
    b"\x1a\x45\xdf\xa3": "Matroska film",
    b"PK\x03\x04": "ZIP archive",
    b"PK\x05\x06": "ZIP archive",
    b"\x1f\x8b": "gzip archive",
    b"BZh": "bzip2 archive",
    b"\xfd7zXZ\0": "xz archive",
    b"\x28\xb5\x2f\xfd": "Zstandard archive",
    b"7z\xbc\xaf\x27\x1c": "7-Zip archive",
    b"Rar!\x1a\x07": "RAR archive",
    b"\x7fELF": "ELF program",
    b"MZ": "Windows program",
    b"\xca\xfe\xba\xbe": "Java class or macOS program",
    b"\xcf\xfa\xed\xfe": "macOS program",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "old Office document",
    b"{\\rtf": "RTF document",
    b"SQLite format 3\0": "SQLite database",
    b"PAR1": "Parquet table",
    b"\x93NUMPY": "NumPy array",
    b"wOFF": "font",
    b"wOF2": "font",
    b"\0\1\0\0\0": "font",
    b"\0asm": "WebAssembly program",
}
_HEAD = 8192


def media_type(stream: BinaryIO, name: str) -> str:
    """The media type of `stream`, which is left at its start.

    The ending of `name` decides between the textual kinds; where it says nothing, the content
    does. Raises InputError for what is not a document.
    """
    stream.seek(0)
    head = stream.read(_HEAD)
    stream.seek(0)
    by_name = _ENDINGS.get(PurePath(name).suffix.lower())
    if by_name in (PDF, DOCX, EPUB):
        return by_name
    if head.startswith(b"%PDF-"):
        return PDF
    packed = _packed(stream) if head.startswith(b"PK\x03\x04") else None
    if packed is not None:
        return packed
    kind = _binary(head)
    if kind is not None:
        raise InputError(
            f"{name} looks binary ({kind}): memagent reads text, Markdown, HTML, PDF, Word, EPUB "
            "and source code"
        )
    return by_name or (HTML if _is_html(head) else TEXT)


def _binary(head: bytes) -> str | None:
    """What binary thing begins with `head`; None if it may be text."""
    has_nul = b"\0" in head and not head.startswith(tuple(BOMS))
    for magic, kind in _BINARY.items():
        # Text can begin with "MZ" or "BM" as well; with a NUL behind it, it is none.
        telling = not (magic.isalnum() and magic.isascii()) or has_nul
        if telling and head.startswith(magic):
            return kind
    if head[4:8] == b"ftyp" and has_nul:
        return "MP4 film or HEIF image"
    if head[257:262] == b"ustar":
        return "tar archive"
    return "it has NUL bytes" if has_nul else None


def _packed(stream: BinaryIO) -> str | None:
    """The kind of document in a ZIP archive; None if there is none."""
    try:
        with zipfile.ZipFile(stream) as archive:
            names = set(archive.namelist())
    except zipfile.BadZipFile:
        return None
    finally:
        stream.seek(0)
    if "word/document.xml" in names:
        return DOCX
    return EPUB if "META-INF/container.xml" in names else None


def _is_html(head: bytes) -> bool:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith(b"<?xml"):
        return b"<html" in start
    return start.startswith((b"<!doctype html", b"<html", b"<head", b"<body"))
