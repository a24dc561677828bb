"""Shared by the batch tests: rows as JSON Lines, and the shipped schemas."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

import memagent

SCHEMAS = Path(memagent.__file__).parent / "schemas"
Rows = Sequence[dict[str, Any] | bytes]


def conforms(schema: str, value: Any) -> bool:
    """Whether `value` is what the shipped schema describes."""
    named = {path.name: json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")}
    registry: Registry[Any] = Registry().with_resources(
        (name, Resource.from_contents(content)) for name, content in named.items()
    )
    return bool(Draft202012Validator(named[f"{schema}.json"], registry=registry).is_valid(value))


def as_lines(rows: Rows) -> list[bytes]:
    return [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]


def results_of(out: Path) -> list[dict[str, Any]]:
    """The results in a file, each of which must fit the schema."""
    values = [json.loads(line) for line in out.read_text().splitlines()]
    for value in values:
        assert conforms("batch_result", value), value
    return values
