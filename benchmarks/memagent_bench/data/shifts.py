"""Stories by clause, with human ratings of what changes in the situation at each clause.

An event starts where SHIFTS dimensions change, following situation models (Zwaan, Langston and
Graesser 1995).
"""

from __future__ import annotations

import csv
import io

from memagent_bench.data.items import Document, inner_boundaries, one_line

__all__ = ["SHIFTS", "shifts"]

SHIFTS = 2  # dimensions of the situation that change together where an event starts


def shifts(name: str, text: str) -> Document:
    """The document of a CSV table: a clause per row, and 0 or 1 for each dimension.

    A table without dimensions has no boundaries.
    """
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    units = tuple(one_line(row["clause"]) for row in rows)
    ratings = ([v for k, v in row.items() if k not in ("id", "clause")] for row in rows)
    starts = (n for n, values in enumerate(ratings) if sum(map(int, values)) >= SHIFTS)
    return Document(name, units, inner_boundaries(starts, len(units)))
