"""The tools that a model may call during a turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from memagent.memory.namespace import Namespace
from memagent.memory.recall.selection import Hit
from memagent.types import Event, Source, ToolCall

__all__ = ["TOOLS", "ToolBox"]


_REPEATED = 3


def _tool(name: str, description: str, **parameters: str) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": {
                    key: {"type": "integer" if key == "number" else "string", "description": text}
                    for key, text in parameters.items()
                },
                "required": list(parameters),
            },
        },
    }


TOOLS: tuple[dict[str, Any], ...] = (
    _tool(
        "search_memory",
        "Find more passages in the user's memory. They get further numbers, to be cited like [n].",
        query="what to look for, in a few words",
    ),
    _tool(
        "remember",
        "Keep a note for later conversations, in the user's own words where possible.",
        text="the note",
    ),
    _tool(
        "forget",
        "Ask the user to have a numbered passage forgotten. It is done only if they agree.",
        number="the number of the passage",
    ),
)


class ToolBox:
    """The tools bound to one turn. `confirm` asks the user; without a user it returns False."""

    def __init__(
        self,
        memory: Namespace,
        session: Source,
        recall: Callable[[str], tuple[Hit, ...]],
        confirm: Callable[[str], bool],
    ) -> None:
        self.memory = memory
        self.session = session
        self.recall = recall
        self.confirm = confirm

    def run(self, call: ToolCall, hits: tuple[Hit, ...]) -> tuple[str, tuple[Hit, ...]]:
        """Run a tool. Returns the result for the model, and `hits` with the newly found ones."""
        arguments = call.arguments
        if call.name == "search_memory" and isinstance(arguments.get("query"), str):
            return self._search(arguments["query"], hits)
        if call.name == "remember" and isinstance(arguments.get("text"), str):
            self.memory.spans.append_turn(self.session.id, "tool", arguments["text"])
            return "kept", hits
        if call.name == "forget" and isinstance(arguments.get("number"), int):
            return self._forget(arguments["number"], hits), hits
        known = ", ".join(tool["function"]["name"] for tool in TOOLS)
        return f"not done: the tools are {known}, with the arguments of their schemas", hits

    def _search(self, query: str, hits: tuple[Hit, ...]) -> tuple[str, tuple[Hit, ...]]:
        known = {hit.event.id: number for number, hit in enumerate(hits, start=1)}
        recalled = self.recall(query)
        found = tuple(hit for hit in recalled if hit.event.id not in known)
        numbered = list(enumerate(found, start=len(hits) + 1))
        if not found:  # the model asks for what it has: repeat the best of it
            numbered = [(known[hit.event.id], hit) for hit in recalled[:_REPEATED]]
        lines = [f"[{number}] {hit.event.place}\n{hit.event.text}" for number, hit in numbered]
        return "\n".join(lines) or "nothing more was found", hits + found

    def _forget(self, number: int, hits: tuple[Hit, ...]) -> str:
        if not 1 <= number <= len(hits):
            return f"not done: there is no passage {number}"
        event: Event = hits[number - 1].event
        if not self.confirm(f"Forget this? {event.place}: {event.text}"):
            return "not done: the user did not agree"
        self.memory.forget_range(event.source_id, event.start, event.end)
        self.memory.purge()
        return "forgotten"
