"""Print answers on stdout and everything else on stderr, with colours only on a terminal."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

    from memagent.types import Answer

__all__ = [
    "console",
    "outline_text",
    "place_label",
    "print_json",
    "say",
    "sources_text",
    "visible",
    "write",
]

# Stored text may contain escape sequences: a terminal must show them, not execute them.
_CONTROL: dict[int, int | None] = {code: 0x2400 + code for code in range(32)}
_CONTROL |= {ord("\r"): None, 0x7F: 0x2421, **dict.fromkeys(range(0x80, 0xA0), 0xFFFD)}
del _CONTROL[ord("\t")], _CONTROL[ord("\n")]


def say(line: str) -> None:
    """Print a message on stderr, as one line."""
    write(f"memagent: {' '.join(line.splitlines())}\n", sys.stderr)


def print_json(value: Any, *, indent: int | None = None) -> None:
    """Print a JSON value and a newline on stdout, and flush."""
    print(json.dumps(value, ensure_ascii=False, indent=indent), flush=True)  # noqa: T201


def console(*, stderr: bool = False) -> Console:
    """A rich console, which prints plain text unless it is a terminal; it respects NO_COLOR."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def visible(text: str) -> str:
    """Replace control characters, except tab and newline, by visible symbols."""
    return text.translate(_CONTROL)


def write(text: str, stream: TextIO | None = None) -> None:
    """Print text on stdout (or `stream`) and flush; a terminal gets `visible(text)`."""
    out = stream or sys.stdout
    out.write(visible(text) if out.isatty() else text)
    out.flush()


def sources_text(answer: Answer) -> str:
    """The confidence and citations of an answer, as lines; empty if it has neither."""
    lines = []
    if answer.confidence is not None:
        lines.append(f"confidence {answer.confidence:.0%}")
    for cited in answer.citations:
        quote = " ".join(cited.text.split())
        quote = quote if len(quote) <= 160 else quote[:157] + "…"
        if not cited.verified:
            lines.append(f"[{cited.number or '?'}] unverified, not in the stored text: “{quote}”")
            continue
        place = place_label(cited.source, cited.page, cited.section, cited.start, cited.end)
        why = "verified" if cited.share is None else f"{cited.share:.0%} of the attention"
        if cited.valid_until:
            why += f", superseded on {cited.valid_until[:10]}"
        lines.append(f"[{cited.number}] {why}, {place}: “{quote}”")
    return "\n".join(lines)


def outline_text(answer: Answer) -> str:
    """The outline of an answer: the selected sentences under their headings, as lines."""
    lines: list[str] = []
    heading = None
    for point in answer.outline:
        if point.heading != heading:
            heading = point.heading
            lines.append(heading)
        cited = point.citation
        place = place_label(cited.source, cited.page, cited.section, cited.start, cited.end)
        lines.append(f"  [{cited.number}] “{' '.join(cited.text.split())}” ({place})")
    return "\n".join(lines)


def place_label(
    source: str | None, page: int | None, section: str | None, start: int | None, end: int | None
) -> str:
    """The source and position of stored text, in words."""
    parts = [str(source)]
    if page is not None:
        parts.append(f"p. {page}")
    if section:
        parts.append(f"§ {section}")
    return " · ".join([*parts, f"characters {start}-{end}"])
