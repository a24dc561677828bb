"""EPUB: a piece is a chapter, in reading order. Knows nothing of files."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote

from memagent.documents.archive import unpacked
from memagent.documents.formats.base import Format
from memagent.documents.formats.html import blocks, parse
from memagent.documents.outline import Outline
from memagent.documents.split import chunks
from memagent.errors import InputError
from memagent.types import Piece

if TYPE_CHECKING:
    from zipfile import ZipFile

    from bs4 import BeautifulSoup

__all__ = ["FORMAT", "read"]

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_PAGES = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml")


def read(stream: BinaryIO, name: str, max_bytes: int) -> Iterator[Piece]:
    """The chapters that have text; the section is a chapter's first heading, else its title.

    Raises InputError if the book is damaged, locked, or unpacks to more than `max_bytes`.
    """
    with unpacked(stream, name, "an EPUB book", max_bytes) as archive:
        locked = _locked(archive)
        for path in _spine(archive):
            if path in locked:
                raise InputError(f"{name} is locked (DRM): memagent reads books without a lock")
            page = parse(archive.read(path), f"{name} ({path})")
            contents = blocks(page)
            heading = next((text for level, text in contents if level), None)
            title = heading or (page.title.get_text() if page.title else "")
            section = Outline().enter(1, title) or None
            for text in chunks(text for _, text in contents):
                yield Piece(text, section=section)


def _spine(archive: ZipFile) -> list[str]:
    """The paths of the chapters in reading order."""
    root = _xml(archive, _CONTAINER).find("rootfile")
    if root is None:
        raise ValueError(f"{_CONTAINER} names no book")
    package = str(root["full-path"])
    book = _xml(archive, package)
    pages = {
        item["id"]: _inside(package, str(item["href"]))
        for item in book.find_all("item")
        if item["media-type"] in _PAGES
    }
    spine = [str(item["idref"]) for item in book.find_all("itemref")]
    return [pages[chapter] for chapter in spine if chapter in pages]


def _locked(archive: ZipFile) -> set[str]:
    if _ENCRYPTION not in archive.namelist():
        return set()
    references = _xml(archive, _ENCRYPTION).find_all("CipherReference")
    return {unquote(str(reference["URI"])) for reference in references}


def _xml(archive: ZipFile, path: str) -> BeautifulSoup:
    from bs4 import BeautifulSoup

    return BeautifulSoup(archive.read(path), "xml")


def _inside(package: str, href: str) -> str:
    """The path in the archive of a reference in the package file."""
    path = unquote(href.partition("#")[0])
    return posixpath.normpath(posixpath.join(posixpath.dirname(package), path))


FORMAT = Format("EPUB", {".epub": "application/epub+zip"}, read, member=_CONTAINER)
