"""The media type of a document, from the suffix of its name and from its first bytes."""

from __future__ import annotations

import zipfile
from pathlib import PurePath
from typing import BinaryIO

from memagent.documents.encoding import BOMS
from memagent.documents.formats.table import FORMATS, PLAIN_TEXT
from memagent.errors import InputError

__all__ = ["media_type"]

_ZIP = b"PK\x03\x04"
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

    The suffix of `name` decides, but not that a binary document is text; without a known suffix
    the content decides. Raises InputError for content of no format that can be read.
    """
    stream.seek(0)
    head = stream.read(_HEAD)
    stream.seek(0)
    suffix = PurePath(name).suffix.lower()
    named = next((each for each in FORMATS if suffix in each.media_types), None)
    if named is not None and named.binary:
        return named.media_types[suffix]
    for each in FORMATS:
        if each.magic is not None and head.startswith(each.magic):
            return each.media_type
    members = _zip_members(stream) if head.startswith(_ZIP) else frozenset()
    for each in FORMATS:
        if each.member in members:
            return each.media_type
    kind = _binary_kind(head)
    if kind is not None:
        *names, last = (each.name for each in FORMATS)
        raise InputError(
            f"{name} looks binary ({kind}): memagent reads {', '.join(names)} and {last}"
        )
    if named is not None:
        return named.media_types[suffix]
    matching = (each for each in FORMATS if each.matches is not None and each.matches(head))
    return next(matching, PLAIN_TEXT).media_type


def _binary_kind(head: bytes) -> str | None:
    """The kind of binary file that begins with `head`; None if it may be text."""
    has_nul = b"\0" in head and not head.startswith(tuple(BOMS))
    for magic, kind in _BINARY.items():
        # Text may also begin with "MZ" or "BM"; only a NUL byte shows that it is binary.
        decisive = has_nul or not (magic.isalnum() and magic.isascii())
        if decisive and head.startswith(magic):
            return kind
    if head[4:8] == b"ftyp" and has_nul:
        return "MP4 film or HEIF image"
    if head[257:262] == b"ustar":
        return "tar archive"
    return "it has NUL bytes" if has_nul else None


def _zip_members(stream: BinaryIO) -> frozenset[str]:
    """The paths in a ZIP archive; none if it is damaged."""
    try:
        with zipfile.ZipFile(stream) as archive:
            return frozenset(archive.namelist())
    except zipfile.BadZipFile:
        return frozenset()
    finally:
        stream.seek(0)
