"""The nouns that all packages share: sources, spans, events, messages, requests and answers.

Offsets are characters (Unicode code points) from the start of the source's text, end exclusive.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

__all__ = [
    "Answer", "Chunk", "Citation", "Ending", "Event", "EventReader", "Interval", "Kind", "Message",
    "Piece", "Point", "Request", "Role", "Scope", "Source", "Span", "State", "Thinking",
    "ToolCall", "Usage",
]  # fmt: skip

Kind = Literal["document", "session"]
Role = Literal["user", "assistant", "tool"]
State = Literal["pending", "complete", "partial"]
Thinking = Literal["auto", "off", "low", "high"]
Ending = Literal[
    "stop", "length", "empty", "thinking", "refused", "repetition", "interrupted", "lost"
]
"""How an answer ended: by itself; cut at the most tokens allowed; without a word; with all of its
tokens spent on thinking; refused by the server's own filter; stopped because it repeated itself;
stopped by the user; broken off because the server failed."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a document as a reader delivers it; the pieces in order are its text."""

    text: str
    page: int | None = None
    section: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A document or a session; `chars` is the length of its text so far."""

    id: int
    namespace: str
    kind: Kind
    name: str
    uri: str | None
    sha256: str | None
    media_type: str | None
    chars: int
    complete: bool
    created: str
    updated: str


@dataclass(frozen=True, slots=True)
class Span:
    """A verbatim stretch of a source; the spans of a source tile its text without gaps."""

    id: int
    source_id: int
    ordinal: int
    start: int
    end: int
    text: str
    page: int | None
    section: str | None
    role: Role | None
    time: str
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Interval:
    """When a statement was valid: from `since` to before `until`, None while it is in force.

    The statement is at [start, end) of its source. `by` locates the statement that superseded it:
    the id of its event, and its start and end in its own source.
    """

    start: int
    end: int
    since: str
    until: str | None = None
    by: tuple[int, int, int] | None = None

    def report(self) -> dict[str, Any]:
        """The interval as plain data."""
        return {"start": self.start, "end": self.end, "from": self.since, "until": self.until}


@dataclass(frozen=True, slots=True)
class Event:
    """The unit of recall: part of one span, with its location. Recall adds `intervals` to an event
    with a statement that supersedes another one or is superseded."""

    id: int
    source_id: int
    source: str
    kind: Kind
    start: int
    end: int
    text: str
    page: int | None
    section: str | None
    role: Role | None
    time: str
    intervals: tuple[Interval, ...] = ()

    @property
    def place(self) -> str:
        """The event's location as shown to users: name, page, section, time."""
        parts = [self.source]
        if self.page is not None:
            parts.append(f"p. {self.page}")
        if self.section:
            parts.append(f"§ {self.section}")
        if self.kind == "session":
            parts.append(f"{self.role}, {self.time[:16].replace('T', ' ')}")
        return " · ".join(parts)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool the model asks for; `arguments` is the decoded JSON object."""

    id: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat prompt."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


class EventReader(Protocol):
    """The stored events of one namespace, for engines that keep a memory of their own.

    `caches` is a folder for what an engine derives from them; forgetting text deletes it."""

    @property
    def namespace(self) -> str:
        """The name of the namespace."""

    @property
    def caches(self) -> Path:
        """The folder for caches; it need not exist."""

    def ids(self) -> list[int]:
        """The ids of all events, ascending."""

    def get(self, ids: Sequence[int]) -> list[Event]:
        """The events with these ids that exist, in the given order."""

    def of_session(self, session_id: int) -> list[Event]:
        """The events of a session in the order of its text."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The events that an engine with its own memory may attend to.

    These are the events of `memory` with an id in `allowed` (None allows all), except those of the
    session `session_id` from the character `since` on, which are the turn itself.
    """

    memory: EventReader
    session_id: int
    since: int
    allowed: Collection[int] | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What an engine is asked: the packed prompt, and the same in parts for engines that read.

    `messages` is the whole prompt. `question` is the turn's text and `evidence` the recalled
    events in the order of their citation numbers (evidence[0] is cited as [1]). If `asked`, the
    turn is a question in any form; a turn of a chat may also be a statement. `scope` is the memory
    of an engine with attention. `schema` is the JSON schema of the answer, and `uncertainty` asks
    for the uncertainty of its first token, if the engine can do this. `thinking` says how much a
    reasoning model should think before it answers; "auto" leaves it to the model.
    """

    messages: tuple[Message, ...]
    question: str
    evidence: tuple[Event, ...] = ()
    asked: bool = True
    tools: tuple[dict[str, Any], ...] = ()
    max_tokens: int = 512
    temperature: float = 0.0
    seed: int | None = None
    scope: Scope | None = None
    schema: dict[str, Any] | None = None
    uncertainty: bool = False
    thinking: Thinking = "auto"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a call, or of several, as the engine counts them."""

    prompt: int = 0
    completion: int = 0

    def __add__(self, more: Usage) -> Usage:
        return Usage(self.prompt + more.prompt, self.completion + more.completion)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a streamed answer. The last one carries usage, finish reason and tool calls.

    `thinking` is what a reasoning model writes before its answer; it is never part of `text`.
    `found` is False where an engine knows that the evidence holds no answer, and `confidence` the
    chance that its answer is right, where the engine has measured it. `attention` gives
    the share of the attention that each event got, largest first, from engines that report it.
    `uncertainty` is the entropy of the first token's distribution in nats, where it was asked for.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish: Literal["stop", "length", "tool_calls", "refused"] | None = None
    usage: Usage | None = None
    found: bool | None = None
    confidence: float | None = None
    attention: tuple[tuple[Event, float], ...] = ()
    uncertainty: float | None = None
    thinking: str = ""


@dataclass(frozen=True, slots=True)
class Citation:
    """A place in the store that an answer rests on.

    `text` is the stored text at [start, end) of the source, character for character, and
    `verified` says that the answer's words were found there; an unverified citation keeps what
    the answer claimed in `text` and has no place (`source` is None). `share` is set where no words
    of the answer point there but the model's attention does: the share of it that the place got.
    `valid_from` and `valid_until` are set for a statement that superseded another one or was
    superseded: it was valid from the one, ISO 8601 UTC, to before the other, None while in force.
    """

    number: int
    verified: bool
    text: str
    source: str | None = None
    kind: str | None = None
    start: int | None = None
    end: int | None = None
    page: int | None = None
    section: str | None = None
    time: str | None = None
    role: str | None = None
    share: float | None = None
    valid_from: str | None = None
    valid_until: str | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """A point of an outline: sentences of the store under a heading, by their place."""

    heading: str
    citation: Citation


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with its citations of stored text.

    `found` is False when the engine says that memory holds no answer; `confidence` is the chance
    that the answer is right, 0..1, from engines that measure it. `outline` is what the engine
    marked before it answered, where it was asked to. `ended` says how the answer ended, and
    `thinking` is what a reasoning model thought, which is never stored. `explain` is
    the recall report that `--explain` and `/why` show.
    """

    id: int
    question: str
    text: str
    state: State
    engine: str
    namespace: str
    session: str
    found: bool = True
    confidence: float | None = None
    citations: tuple[Citation, ...] = ()
    outline: tuple[Point, ...] = ()
    usage: Usage = field(default_factory=Usage)
    ended: Ending = "stop"
    thinking: str = ""
    explain: dict[str, Any] = field(default_factory=dict)
