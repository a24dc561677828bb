"""The JSON objects of an answer, read from an event stream or from a body in one piece.

Servers deviate from both, so the first line decides which it is, whatever the content type says.
https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from memagent.engines.openai.errors import ReplyError
from memagent.engines.openai.words import error_in, error_words

__all__ = ["answer_objects"]

# The empty name is that of a comment; llama.cpp once sent errors under a name of their own.
_FIELDS = ("data", "event", "id", "retry", "error", "")
_LINE_END = re.compile(rb"\r\n|\r(?!\Z)|\n")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_END = "[DONE]"
_UNREADABLE = object()


def answer_objects(pieces: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The objects of an answer in order, up to [DONE] or the end of the body.

    Comments, keep-alives and nulls are skipped. Raises ReplyError with the server's words for an
    error, for broken JSON and for anything else that is not an object, such as a web page.
    """
    lines = _lines(pieces)
    first = next((line for line in lines if line.strip()), "").removeprefix("\ufeff")
    if _field(first) in _FIELDS:
        yield from _events(chain([first], lines))
    else:
        text = "\n".join([first, *lines])
        yield from _objects(_decoded(text), text)


def _events(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    name, data = "", ""
    for line in lines:
        field, value = _field(line), line.partition(":")[2].removeprefix(" ")
        if field == "event":
            name = value.strip()
        elif field == "error" or (line and field not in _FIELDS):
            # A line that belongs to no field is an error that escaped the stream's form.
            name, data = "error", data + (value if field == "error" else line)
        elif field == "data":
            data = f"{data}\n{value}" if data else value
        if data.strip() == _END:
            return
        # Some servers leave out the empty line that ends an event.
        decoded = _decoded(data) if line else _UNREADABLE
        if decoded is not _UNREADABLE or (not line and data.strip()):
            yield from _objects(decoded, data, is_error=name == "error")
            name, data = "", ""
        elif not line:
            name = ""
    if data.strip():
        yield from _objects(_decoded(data), data)


def _objects(decoded: object, text: str, *, is_error: bool = False) -> Iterator[dict[str, Any]]:
    if is_error:
        raise ReplyError(error_words(text if decoded is _UNREADABLE else decoded))
    if decoded is None or not text.strip():
        return
    if decoded is _UNREADABLE:
        is_json = text.lstrip()[0] in "{["
        raise ReplyError(f"broken JSON: {text.strip()[:80]}" if is_json else error_words(text))
    for value in decoded if isinstance(decoded, list) else [decoded]:
        if not isinstance(value, dict):
            raise ReplyError(error_words(value))
        error = error_in(value)
        if error is not None:
            raise ReplyError(error_words(error))
        yield value


def _field(line: str) -> str:
    return line.partition(":")[0].strip()


def _decoded(text: str) -> object:
    try:
        value = json.loads(text)
        if _SURROGATE.search(text):
            # Half of a character that an escape cannot give alone is replaced.
            halves = json.dumps(value, ensure_ascii=False).encode("utf-16-le", "surrogatepass")
            value = json.loads(halves.decode("utf-16-le", "replace"))
        return value
    except (ValueError, RecursionError):
        return _UNREADABLE


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """Lines that end with LF, CR or CRLF alone: JSON may hold other line separators as they are."""
    rest = b""
    for piece in pieces:
        *complete, rest = _LINE_END.split(rest + piece)
        for line in complete:
            yield line.decode(errors="replace")
    for line in rest.split(b"\r"):
        yield line.decode(errors="replace")
