"""Decoding text: detect the encoding of a file and read its characters or lines lazily.

Knows nothing of formats. A file that is valid UTF-8 throughout is read as UTF-8; otherwise the
encoding is the one the document declares, or the most likely one that decodes the whole file.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from typing import BinaryIO

from memagent.errors import InputError

__all__ = ["BOMS", "characters", "encoding_of", "lines"]

BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # must precede UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

_BLOCK = 1 << 20
_LONG_LINE = 1 << 16

# In order of preference, for texts that fit several of them equally well.
_LEGACY = [
    "cp1252",
    "cp932",
    "gb18030",
    "euc_jp",
    "big5",
    "cp949",
    "cp1251",
    "cp1250",
    "iso8859_2",
    "koi8_r",
    "cp1253",
    "cp1254",
    "cp1255",
    "cp1256",
    "cp1257",
    "cp874",
]

# Pages that declare the first are in practice written in the second.
_IN_FACT = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "shift_jis": "cp932",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
}


def encoding_of(stream: BinaryIO, name: str, declared: str | None = None) -> str:
    """The codec that decodes all of `stream`, which is left at its start.

    `declared` is the encoding that the document states. Raises InputError if no codec fits.
    """
    stream.seek(0)
    head = stream.read(4)
    for mark, codec in BOMS.items():
        if head.startswith(mark):
            _require(stream, name, codec)
            return codec
    broken = _first_error(stream, "utf-8")
    if broken is None:
        stream.seek(0)
        return "utf-8"
    at, multibyte = broken
    legacy = _in_fact(declared)
    if legacy is not None and _first_error(stream, legacy) is None:
        stream.seek(0)
        return legacy
    # Text in another encoding does not contain eight valid multi-byte characters by chance.
    if multibyte >= 8:
        raise InputError(f"{name} is damaged UTF-8 at byte {at:,}: repair it, or convert it again")
    for codec in _likely(_sample(stream)):
        if _first_error(stream, codec) is None:
            stream.seek(0)
            return codec
    raise InputError(
        f"{name} is in no encoding that memagent recognises: convert it to UTF-8, "
        "for example with iconv"
    )


def characters(stream: BinaryIO, name: str) -> Iterator[str]:
    """The decoded text in parts of up to 65,536 characters, with its line ends unchanged.

    Closes `stream` at the end.
    """
    with _reader(stream, name) as reader:
        while text := reader.read(_LONG_LINE):
            yield _plain(text, name)


def lines(stream: BinaryIO, name: str) -> Iterator[str]:
    """The decoded lines with their line ends; longer ones come in parts of 65,536
    characters. Closes `stream` at the end."""
    with _reader(stream, name) as reader:
        while line := reader.readline(_LONG_LINE):
            yield _plain(line, name)


def _reader(stream: BinaryIO, name: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(stream, encoding=encoding_of(stream, name), newline="")


def _plain(text: str, name: str) -> str:
    if "\0" in text:
        raise InputError(f"{name} looks binary: it has NUL characters between its text")
    return text


def _require(stream: BinaryIO, name: str, codec: str) -> None:
    broken = _first_error(stream, codec)
    if broken is not None:
        raise InputError(
            f"{name} begins as {codec.removesuffix('-sig').upper()} but is damaged at byte "
            f"{broken[0]:,}: repair it, or convert it again"
        )
    stream.seek(0)


def _first_error(stream: BinaryIO, codec: str) -> tuple[int, int] | None:
    """Byte offset of the first undecodable byte, and the non-ASCII characters before it (counted
    to the end of their block once there are eight); None when all of `stream` decodes."""
    stream.seek(0)
    decoder = codecs.getincrementaldecoder(codec)()
    offset = multibyte = 0
    while True:
        block = stream.read(_BLOCK)
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            before = bytes(error.object[: error.start]).decode(codec, "ignore")
            return offset - pending + error.start, multibyte + _foreign(before)
        if multibyte < 8:
            multibyte += _foreign(text)
        if not block:
            return None
        offset += len(block)


def _foreign(text: str) -> int:
    return 0 if text.isascii() else sum(character > "\x7f" for character in text)


def _in_fact(declared: str | None) -> str | None:
    """The codec of a declared character set; None if it is not a legacy character set."""
    try:
        codec = codecs.lookup(declared or "").name
    except LookupError:
        return None
    # Python has codecs that are not character sets ("hex", "idna"), and a page may name anything.
    if not codec.startswith(("big5", "cp", "euc", "gb", "iso8859", "koi8", "mac", "shift")):
        return None
    return _IN_FACT.get(codec, codec)


def _sample(stream: BinaryIO) -> bytes:
    """Up to 1 MiB of the lines that are not ASCII; the others do not show the encoding."""
    stream.seek(0)
    sample = bytearray()
    while len(sample) < _BLOCK and (line := stream.readline(_LONG_LINE)):
        if not line.isascii():
            sample += line
    return bytes(sample)


def _likely(sample: bytes) -> list[str]:
    """The legacy encodings that fit `sample`, the most likely first."""
    from charset_normalizer import from_bytes

    ranked = []
    for match in from_bytes(sample, cp_isolation=_LEGACY):
        for codec in (match, *match.submatch):
            rank = (match.chaos, -match.coherence, _LEGACY.index(codec.encoding))
            ranked.append((rank, codec.encoding))
    return [codec for _, codec in sorted(ranked)]
