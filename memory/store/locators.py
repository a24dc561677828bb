"""Places of events in the text, which, unlike event ids, survive resegmentation."""

from __future__ import annotations

import json
from collections.abc import Sequence

from memagent.memory.store.database import Store
from memagent.memory.store.events import FIELDS
from memagent.types import Event

__all__ = ["Place", "events_at", "place_of"]

Place = tuple[int, int, int]
"""Source id, start and exclusive end, in characters."""


def place_of(event: Event) -> Place:
    """The place of an event."""
    return event.source_id, event.start, event.end


def events_at(store: Store, namespace_id: int, places: Sequence[Sequence[int]]) -> list[Event]:
    """The current text at these places as events with id 0. A place must lie within one span."""
    rows = store.tuples(
        f"""SELECT {FIELDS} FROM (
                SELECT key AS place, 0 AS id, value ->> 0 AS source_id, value ->> 1 AS start,
                       value ->> 2 AS "end" FROM json_each(?)
            ) e JOIN sources src ON src.id = e.source_id
            JOIN spans s ON s.source_id = e.source_id AND s.start <= e.start AND s."end" > e.start
            WHERE src.namespace_id = ? ORDER BY e.place""",
        json.dumps([list(place) for place in places]),
        namespace_id,
    )
    return [Event(*row) for row in rows]
