"""Printing: answers on stdout, everything else on stderr, rich only on a terminal."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from memagent.core import Answer, Citation
    from memagent.memory.recall.budget import Recalled

__all__ = ["answer_object", "console", "print_json", "say", "search_object", "sources_text"]


def say(line: str) -> None:
    """One line on stderr."""
    print(f"memagent: {line}", file=sys.stderr, flush=True)  # noqa: T201


def print_json(value: Any, *, indent: int | None = None) -> None:
    """One JSON value and a newline on stdout, at once."""
    print(json.dumps(value, ensure_ascii=False, indent=indent), flush=True)  # noqa: T201


def console(*, stderr: bool = False) -> Console:
    """A rich console: plain text unless it is a terminal; NO_COLOR is respected."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def answer_object(answer: Answer, *, explain: bool = False) -> dict[str, Any]:
    """An answer as the JSON that schemas/answer.json describes."""
    value = dataclasses.asdict(answer)
    if not explain:
        del value["explain"]
    return value


def search_object(found: Recalled, limit: int, *, explain: bool = False) -> dict[str, Any]:
    """The recall of a query as the JSON that schemas/search.json describes, best event first."""
    value: dict[str, Any] = {
        "query": found.question,
        "hits": [
            {
                **dataclasses.asdict(hit.event),
                "score": round(hit.score, 6),
                "ranks": hit.ranks,
                "via": hit.via,
                "tokens": hit.tokens,
            }
            for hit in found.best[:limit]
        ],
    }
    return {**value, "explain": found.report()} if explain else value


def sources_text(citations: tuple[Citation, ...]) -> str:
    """The citations as lines for people; empty when there are none."""
    lines = []
    for cited in citations:
        quote = " ".join(cited.text.split())
        quote = quote if len(quote) <= 160 else quote[:157] + "…"
        if not cited.verified:
            lines.append(f"[{cited.number or '?'}] unverified, not in the stored text: “{quote}”")
            continue
        place = [str(cited.source)]
        if cited.page is not None:
            place.append(f"p. {cited.page}")
        if cited.section:
            place.append(f"§ {cited.section}")
        place.append(f"characters {cited.start}-{cited.end}")
        lines.append(f"[{cited.number}] verified, {' · '.join(place)}: “{quote}”")
    return "\n".join(lines)
