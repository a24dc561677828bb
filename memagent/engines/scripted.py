"""Deterministic answers from a script, for tests and examples; needs no model."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memagent.engines.base import Capabilities, Engine, EngineContext, Finish
from memagent.errors import EngineError, InputError
from memagent.types import Chunk, Request, ToolCall, Usage

__all__ = ["Line", "Reply", "ScriptedEngine", "make"]

Reply = str | tuple[ToolCall, ...] | Exception
_KINDS = ("text", "tool", "error")
_FINISHES = ("stop", "length", "refused")
_KEYS = {*_KINDS, "arguments", "match", "delay", "uncertainty", "thinking", "finish"}


@dataclass(frozen=True, slots=True)
class Line:
    """A reply, a regular expression for the questions it answers, the delay before each word in
    seconds, the uncertainty of its first token in nats, what is thought before it, and how a text
    ends: "length" for one that was cut at the token limit, "refused" for a filter."""

    reply: Reply
    match: str | None = None
    delay: float = 0.0
    uncertainty: float | None = None
    thinking: str = ""
    finish: Finish = "stop"


class ScriptedEngine(Engine):
    """Answers from `replies` word by word and keeps the `requests` it saw.

    A reply is a text, a tuple of tool calls, or an exception to raise. `replies` is a function
    of the request, or a sequence. In a sequence, lines whose `match` is found in the question are
    preferred to lines without a `match`; each is used once, in order, and the last one repeats. If
    no line is suitable, the engine quotes the first event as [1].
    """

    name = "scripted"
    model = "scripted"

    def __init__(
        self,
        replies: Sequence[Reply | Line] | Callable[[Request], Reply | Line] | None = None,
        *,
        context: int = 8192,
    ) -> None:
        self.context = context
        self.capabilities = Capabilities(tools=True, structured=True, uncertainty=True)
        self.requests: list[Request] = []
        self._function = replies if callable(replies) else None
        given = () if replies is None or callable(replies) else replies
        self._lines = [reply if isinstance(reply, Line) else Line(reply) for reply in given]
        self._used: set[int] = set()

    @classmethod
    def from_file(cls, path: Path, *, context: int = 8192) -> ScriptedEngine:
        """A script in JSON Lines, one reply a line.

        {"text": ...}, {"tool": name, "arguments": {...}} or {"error": message}; each may have
        "match": a regular expression for the question, "delay": seconds before each word,
        "uncertainty": nats, reported on request, "thinking": a text that comes first, and
        "finish": "stop", "length" or "refused". Schemas, token limits and the requested amount of
        thinking are ignored. Raises InputError naming the line.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"the script {path} cannot be read: {error}") from error
        rows = enumerate(text.splitlines(), start=1)
        lines = [_line(row, f"{path}:{number}") for number, row in rows if row.strip()]
        return cls(lines, context=context)

    def stream(self, request: Request) -> Iterator[Chunk]:
        """Yield the next reply word by word, or raise it if it is an exception."""
        self.requests.append(request)
        line = self._next(request)
        for word in _words(line.thinking):
            time.sleep(line.delay)
            yield Chunk(thinking=word)
        if isinstance(line.reply, Exception):
            raise line.reply
        prompt = self.count_prompt(request.messages)
        nats = line.uncertainty if request.uncertainty else None
        if isinstance(line.reply, tuple):
            usage = Usage(prompt, 0)
            yield Chunk(tool_calls=line.reply, finish="tool_calls", usage=usage, uncertainty=nats)
            return
        for word in _words(line.reply):
            time.sleep(line.delay)
            yield Chunk(text=word, uncertainty=nats)
            nats = None
        usage = Usage(prompt, self.count(line.thinking) + self.count(line.reply))
        yield Chunk(finish=line.finish, usage=usage, uncertainty=nats)

    def count(self, text: str) -> int:
        """Four tokens for three words between white space, rounded up."""
        return -(-len(text.split()) * 4 // 3)

    def _next(self, request: Request) -> Line:
        if self._function is not None:
            reply = self._function(request)
            return reply if isinstance(reply, Line) else Line(reply)
        numbered = list(enumerate(self._lines))
        matching = [n for n, line in numbered if line.match and _fits(line.match, request)]
        choice = matching or [n for n, line in numbered if not line.match]
        if not choice:
            return Line(_echo(request))
        number = next((n for n in choice if n not in self._used), choice[-1])
        self._used.add(number)
        return self._lines[number]


def _words(text: str) -> list[str]:
    """The words of a text, each with the white space before it."""
    return re.findall(r"\s*\S+|\s+", text)


def _fits(match: str, request: Request) -> bool:
    return re.search(match, request.question) is not None


def _echo(request: Request) -> str:
    if not request.evidence:
        return "Nothing in memory fits."
    return f'"{request.evidence[0].text}" [1]'


def _line(row: str, place: str) -> Line:
    try:
        fields = json.loads(row)
    except json.JSONDecodeError as error:
        raise InputError(f"{place}: not JSON: {error}") from error
    if not isinstance(fields, dict) or sum(kind in fields for kind in _KINDS) != 1:
        raise InputError(f'{place}: a reply is an object with one of "text", "tool" or "error"')
    unknown = sorted(fields.keys() - _KEYS)
    if unknown:
        raise InputError(f"{place}: unknown field {unknown[0]!r}; known are {sorted(_KEYS)}")
    match = fields.get("match")
    numbers = {"delay": "seconds", "uncertainty": "nats"}
    for name, unit in numbers.items():
        value = fields.get(name, 0.0)
        # Not `value < 0`: Python's JSON allows NaN.
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise InputError(f'{place}: "{name}" is a number of {unit}, not {value!r}')
    try:
        re.compile(match or "")
    except (re.error, TypeError) as error:
        raise InputError(f'{place}: "match" is no regular expression: {error}') from error
    if not isinstance(fields.get("thinking", ""), str):
        raise InputError(f'{place}: "thinking" is a string, not {fields["thinking"]!r}')
    finish = fields.get("finish", "stop")
    if finish not in _FINISHES:
        raise InputError(f'{place}: "finish" is one of {", ".join(_FINISHES)}, not {finish!r}')
    return Line(
        _reply(fields, place),
        match,
        float(fields.get("delay", 0.0)),
        fields.get("uncertainty"),
        fields.get("thinking", ""),
        finish,
    )


def _reply(fields: dict[str, Any], place: str) -> Reply:
    kind = next(kind for kind in _KINDS if kind in fields)
    if not isinstance(fields[kind], str):
        raise InputError(f'{place}: "{kind}" is a string, not {fields[kind]!r}')
    if kind == "text":
        return str(fields["text"])
    if kind == "error":
        return EngineError(fields["error"])
    arguments = fields.get("arguments", {})
    if not isinstance(arguments, dict):
        raise InputError(f'{place}: "arguments" is an object, not {arguments!r}')
    return (
        ToolCall(id=f"call_{place.rsplit(':', 1)[1]}", name=fields["tool"], arguments=arguments),
    )


def make(context: EngineContext) -> tuple[Engine, str]:
    """The engine of the settings, and the script that it follows."""
    script = context.settings.script
    if script is None:
        return ScriptedEngine(), "no script: it quotes the first evidence"
    return ScriptedEngine.from_file(script), str(script)
