"""The index file format, with atomic writes and a checksum that is verified on reading.

Layout: magic, SHA-256 of the rest, length of the header, header (JSON), payload (any bytes).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

__all__ = ["DamagedError", "Header", "read", "write"]

_MAGIC = b"memagent index 1\n"
_SUM = hashlib.sha256().digest_size
_LENGTH = 8
_ABANDONED = 3600.0


class DamagedError(Exception):
    """The file is truncated, damaged or not an index."""


@dataclass(frozen=True, slots=True)
class Header:
    """Describes the contents of an index file.

    `owner` is the name of the file, which identifies the namespace and the embedder. The index has
    `count` vectors of dimension `dim` with ids up to `through`, as of the store's `epoch`.
    """

    owner: str
    dim: int
    epoch: int
    count: int
    through: int


def write(path: Path, header: Header, payload: bytes | memoryview) -> None:
    """Replace the file atomically; an interrupted write keeps the old one. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    described = json.dumps(asdict(header)).encode()
    head = len(described).to_bytes(_LENGTH, "little") + described
    digest = hashlib.sha256(head)
    digest.update(payload)
    with NamedTemporaryFile(
        dir=path.parent, prefix=f"{path.name}.", suffix=".tmp", delete=False
    ) as file:
        try:
            for part in (_MAGIC, digest.digest(), head, payload):
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def read(path: Path) -> tuple[Header, memoryview]:
    """The header and payload; DamagedError if the file is damaged, OSError if it cannot be read."""
    data = memoryview(path.read_bytes())
    body = data[len(_MAGIC) + _SUM :]
    if data[: len(_MAGIC)] != _MAGIC or len(body) < _LENGTH:
        raise DamagedError(path)
    if hashlib.sha256(body).digest() != data[len(_MAGIC) : len(_MAGIC) + _SUM]:
        raise DamagedError(path)
    end = _LENGTH + int.from_bytes(body[:_LENGTH], "little")
    return Header(**json.loads(bytes(body[_LENGTH:end]))), body[end:]


def _sweep(path: Path) -> None:
    """Remove temporary files over an hour old, which are left by interrupted writers."""
    for left in path.parent.glob(f"{path.name}.*.tmp"):
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > _ABANDONED:
                left.unlink()
