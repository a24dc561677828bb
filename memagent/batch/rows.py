"""Reading and checking the rows of a scripted batch; knows nothing of running them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from memagent.errors import InputError

__all__ = ["Row", "RowId", "read_rows"]

RowId = str | int

_COMMON = {"id": object, "op": str, "namespace": str}
_FILTERS = {"since": str, "until": str, "as_of": str, "source": str}
# For each operation: the combinations of required fields, one of which a row must have, and the
# types of all its fields.
_OPERATIONS: dict[str, tuple[tuple[frozenset[str], ...], dict[str, type]]] = {
    "add": (
        (frozenset({"path"}), frozenset({"path", "name"}), frozenset({"text", "name"})),
        {"path": str, "text": str, "name": str},
    ),
    "ask": ((frozenset({"question"}),), {"question": str, **_FILTERS}),
    "chat": ((frozenset({"session", "text"}),), {"session": str, "text": str, "time": str}),
    "write": (
        (frozenset({"session"}), frozenset({"session", "outline"})),
        {"session": str, "outline": str, "steps": int, "seed": int},
    ),
    "search": ((frozenset({"query"}),), {"query": str, "limit": int, **_FILTERS}),
    "forget": (
        (frozenset({"source"}), frozenset({"source", "start", "end"})),
        {"source": str, "start": int, "end": int},
    ),
}
_OPTIONAL = {"namespace", "since", "until", "as_of", "limit", "time", "steps", "seed"}
_NAMES = {str: "text", int: "a whole number"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the input; `error` is the reason why it cannot run.

    `id` is None if the row has no unique id; then only its line identifies it.
    """

    line: int
    id: RowId | None
    op: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    @property
    def barrier(self) -> bool:
        """Whether the row runs alone, after all rows before it have ended."""
        return self.op in ("add", "forget") and self.error is None

    @property
    def lane(self) -> tuple[str | None, str] | None:
        """The session of a chat or write row; rows of one lane run in order."""
        if self.op not in ("chat", "write") or self.error is not None:
            return None
        return self.fields.get("namespace"), self.fields["session"]

    @property
    def key(self) -> str:
        """The row's identity in the store: its id and a hash of its content."""
        said = json.dumps([self.op, self.fields], sort_keys=True).encode()
        return f"{json.dumps(self.id)}:{hashlib.sha256(said).hexdigest()[:16]}"


def read_rows(lines: Iterable[bytes]) -> Iterator[Row]:
    """The rows of JSON Lines, one per non-blank line, read lazily."""
    seen: set[RowId] = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError:
            yield Row(number, None, error=f"line {number} is not UTF-8")
            continue
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else "too deep or long"
            yield Row(number, None, error=f"line {number} is not JSON: {reason}")
            continue
        yield _row(number, value, seen)


def _row(number: int, value: Any, seen: set[RowId]) -> Row:
    try:
        row_id = _id(number, value)
    except InputError as error:
        return Row(number, None, error=str(error))
    op = value.get("op")
    shown = op if isinstance(op, str) else None
    if row_id in seen:
        reason = f"line {number}: the id {row_id!r} was used before: give every row its own"
        return Row(number, None, shown, error=reason)
    seen.add(row_id)
    try:
        _check(value)
    except InputError as error:
        return Row(number, row_id, shown, error=str(error))
    return Row(number, row_id, op, {k: v for k, v in value.items() if k not in ("id", "op")})


def _id(number: int, value: Any) -> RowId:
    if not isinstance(value, dict):
        raise InputError(f'line {number} is not an object: write {{"id": 1, "op": "ask", ...}}')
    row_id = value.get("id")
    if isinstance(row_id, bool) or not isinstance(row_id, str | int) or row_id == "":
        raise InputError(f'line {number} has no "id": give every row a text or a whole number')
    return row_id


def _check(value: dict[str, Any]) -> None:
    """Raise InputError if the row's operation or fields cannot be run."""
    op = value.get("op")
    if not isinstance(op, str) or op not in _OPERATIONS:
        known = ", ".join(_OPERATIONS)
        raise InputError(f'"op" is one of {known}, not {json.dumps(op)}')
    combinations, types = _OPERATIONS[op]
    types = {**_COMMON, **types}
    for name, content in value.items():
        if name not in types:
            raise InputError(f"{op} knows no field {name!r}: it has {', '.join(types)}")
        wanted = types[name]
        fits = isinstance(content, wanted) and not (wanted is int and isinstance(content, bool))
        if not fits:
            raise InputError(f'"{name}" is {_NAMES[wanted]}, not {json.dumps(content)[:80]}')
        if wanted is str:
            _check_text(name, content)
        if wanted is int and content < (1 if name in ("limit", "steps") else 0):
            raise InputError(f'"{name}" is too small: {content}')
    # `forget` requires the source; in `ask` and `search` it is an optional filter.
    given = frozenset(value) - _COMMON.keys() - _OPTIONAL
    if op in ("ask", "search"):
        given -= {"source"}
    if given not in combinations:
        ways = " or ".join(" and ".join(f'"{name}"' for name in sorted(c)) for c in combinations)
        raise InputError(f"{op} needs {ways}")


def _check_text(name: str, content: str) -> None:
    if not content.strip():
        raise InputError(f'"{name}" is empty')
    try:
        content.encode()
    except UnicodeEncodeError as error:
        raise InputError(f'"{name}" is not valid Unicode at character {error.start}') from error
