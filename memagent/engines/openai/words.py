"""The server's own words about an error, found in whatever it sent."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["error_in", "error_words", "parameter_in"]

_LONGEST = 300
_KEYS = ("error", "detail", "message", "msg", "errors")


def error_words(value: object) -> str:
    """The message of an error on one line, at most 300 characters.

    `value` is a decoded body or the text of one. The message is under `error`, `detail` or
    `message`, at any depth; the text of a web page is its title, or what it shows.
    """
    found = _message(value)
    if not found.strip():
        found = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    line = " ".join(_without_tags(found).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def error_in(value: dict[str, Any]) -> object | None:
    """The error that an object of an answer is, or None where it is a part of the answer."""
    if value.get("error"):
        return value
    is_error = value.get("object") == "error" or value.get("type") == "error"
    if is_error or (value.get("choices") is None and _message(value)):
        return value
    return None


def parameter_in(value: object) -> str:
    """The name of the refused parameter, from the field `param` that some servers fill in."""
    if not isinstance(value, dict):
        return ""
    inner = value.get("error")
    named = inner.get("param") if isinstance(inner, dict) else value.get("param")
    return named if isinstance(named, str) else ""


def _message(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "; ".join(filter(None, map(_message, value[:3])))
    if not isinstance(value, dict):
        return ""
    found = next(filter(None, (_message(value.get(key)) for key in _KEYS)), "")
    path = value.get("loc")
    # FastAPI names the part of the request that each of its messages is about.
    return f"{'.'.join(map(str, path))}: {found}" if isinstance(path, list) and found else found


def _without_tags(text: str) -> str:
    if not re.match(r"\s*<(!doctype|html|head|body|h1)\b", text, re.IGNORECASE):
        return text
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    shown = title.group(1) if title else re.sub(r"<[^>]*>", " ", text)
    return f"a web page: {shown.strip()}" if shown.strip() else "a web page"
