"""Tool calls put together from the pieces in which servers stream them."""

from __future__ import annotations

import json
from typing import Any

from memagent.types import ToolCall

__all__ = ["CallPieces", "call_arguments"]


class CallPieces:
    """The tool calls of one answer; each piece adds to one of them or begins another."""

    def __init__(self) -> None:
        self._calls: list[dict[str, str]] = []
        self._at: dict[object, dict[str, str]] = {}

    def add(self, piece: dict[str, Any]) -> None:
        """Add a piece as it came, any part of which may be missing or null.

        Some servers give parallel calls one index, or none, and tell them apart by their ids, or
        only by beginning another one.
        """
        function = piece.get("function")
        function = function if isinstance(function, dict) else piece
        identity, name = _text(piece.get("id")), _text(function.get("name"))
        index = piece.get("index")
        call = self._at.get(index if isinstance(index, int) else None)
        if call is None or _begins_another(call, identity, name):
            call = {"id": "", "name": "", "arguments": ""}
            self._calls.append(call)
            self._at[index if isinstance(index, int) else None] = call
        call["id"] = call["id"] or identity
        call["name"] = call["name"] or name
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            call["arguments"] += arguments
        elif arguments is not None:
            call["arguments"] = json.dumps(arguments)

    def complete(self) -> tuple[ToolCall, ...]:
        """The calls that have a name; arguments that are no JSON object become {}.

        The tool's answer then says which argument is missing, and the model can correct its call.
        """
        return tuple(
            ToolCall(
                id=call["id"] or f"call_{number}",
                name=call["name"],
                arguments=call_arguments(call["arguments"]),
            )
            for number, call in enumerate(self._calls, start=1)
            if call["name"]
        )


def call_arguments(value: object) -> dict[str, Any]:
    """The arguments of a call as an object; {} if they are none.

    They may come as an object, as its JSON, or as the JSON of its JSON.
    """
    for _ in range(2):
        if not isinstance(value, str):
            break
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}


def _begins_another(call: dict[str, str], identity: str, name: str) -> bool:
    if identity and call["id"]:
        return identity != call["id"]
    return bool(name and call["name"] and call_arguments(call["arguments"]))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
