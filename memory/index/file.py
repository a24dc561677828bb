"""One file that holds an index: written whole or not at all, and checked before it is believed.

Layout: magic, SHA-256 of all that follows, length of the header, header (JSON), payload. Knows
nothing of FAISS or of the store: the payload is bytes.
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

__all__ = ["Header", "TornError", "read", "write"]

_MAGIC = b"memagent index 1\n"
_SUM = hashlib.sha256().digest_size
_LENGTH = 8
_ABANDONED = 3600.0


class TornError(Exception):
    """The file is cut short, damaged, or not an index at all."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the payload is an index of.

    `owner` is the file's own name, which tells namespace and embedder; `count` vectors of length
    `dim`, of the ids up to `through`, as the store had them in its `epoch`.
    """

    owner: str
    dim: int
    epoch: int
    count: int
    through: int


def write(path: Path, header: Header, payload: bytes | memoryview) -> None:
    """Replace the file at once, so that a kill leaves the old one; raises OSError."""
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
    """Header and payload; raises TornError if a byte is wrong, OSError if it cannot be read."""
    data = memoryview(path.read_bytes())
    body = data[len(_MAGIC) + _SUM :]
    if data[: len(_MAGIC)] != _MAGIC or len(body) < _LENGTH:
        raise TornError(path)
    if hashlib.sha256(body).digest() != data[len(_MAGIC) : len(_MAGIC) + _SUM]:
        raise TornError(path)
    end = _LENGTH + int.from_bytes(body[:_LENGTH], "little")
    return Header(**json.loads(bytes(body[_LENGTH:end]))), body[end:]


def _sweep(path: Path) -> None:
    """Remove what writers that were killed left behind; a live one is done within the hour."""
    for left in path.parent.glob(f"{path.name}.*.tmp"):
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > _ABANDONED:
                left.unlink()
