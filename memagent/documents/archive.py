"""Opening the ZIP archives that some formats are stored in, with a limit on the unpacked size."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from memagent.errors import InputError

__all__ = ["human_size", "unpacked"]

_PROTECTED_OFFICE = b"\xd0\xcf\x11\xe0"


def human_size(size: int) -> str:
    """A number of bytes in readable units: '512 MB', '3.2 GB', with 1 KB = 1024 bytes."""
    value, unit = float(size), "bytes"
    for larger in ("KB", "MB", "GB", "TB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.1f}".removesuffix(".0") + f" {unit}"


@contextmanager
def unpacked(stream: BinaryIO, name: str, kind: str, max_bytes: int) -> Iterator[zipfile.ZipFile]:
    """The archive of a document of `kind`; damage found while it is open raises InputError."""
    stream.seek(0)
    if stream.read(4) == _PROTECTED_OFFICE:
        raise InputError(
            f"{name} is protected by a password or in the old Office format: save it as {kind} "
            "without a password"
        )
    try:
        with zipfile.ZipFile(stream) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            if size > max_bytes:
                raise InputError(
                    f"{name} unpacks to {human_size(size)}, over the limit of "
                    f"{human_size(max_bytes)}: raise it with --max-mb"
                )
            yield archive
    # SyntaxError is the base of lxml's XMLSyntaxError; RuntimeError is an encrypted entry.
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        KeyError,
        NotImplementedError,
        RuntimeError,
        SyntaxError,
        ValueError,
    ) as error:
        reason = " ".join(str(error.args[0] if error.args else error).split()).rstrip(".")
        raise InputError(
            f"{name} is damaged or not {kind} ({reason}): open it in its own program and save "
            "it again"
        ) from error
