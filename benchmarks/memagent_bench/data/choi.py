"""Choi's documents: each joins parts of ten articles (Choi 2000, arXiv:cs/0003083)."""

from __future__ import annotations

from memagent_bench.data.items import Document, inner_boundaries, one_line

__all__ = ["choi"]

_RULE = "====="  # opens and closes each segment


def choi(name: str, text: str) -> Document:
    """A document with one sentence per unit and a boundary where an article starts."""
    units: list[str] = []
    starts = []
    for line in text.splitlines():
        if line.startswith(_RULE):
            starts.append(len(units))
        elif line.strip():
            units.append(one_line(line))
    return Document(name, tuple(units), inner_boundaries(starts, len(units)))
