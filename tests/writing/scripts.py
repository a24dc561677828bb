"""Replies of a writing model for the scripted engine: one per step, all different."""

import json
from pathlib import Path
from typing import Any

__all__ = ["FACT", "OUTLINE", "paragraph", "reply", "write_script"]

OUTLINE = "The keeper of a lighthouse finds a map.\n\nIt must end well.\n"
FACT = "The gate code is 4711."


def paragraph(number: int) -> str:
    return (
        f"On day {number} the keeper climbed {number} stairs, “counted” ships\n"
        f"and wrote {number} lines into the log of the tower."
    )


def reply(number: int, **other: Any) -> str:
    """What the model says in a step: it keeps line 1 and drops the oldest of the others."""
    value = {
        "paragraph": paragraph(number),
        "drop": [{"line": 2, "reason": "it is past"}] if number > 6 else [],
        "add": [{"text": f"Ship {number} passed.", "reason": f"seen on day {number}"}],
        "plans": [f"STEP-{number + 1} by {way}" for way in ("day", "night", "boat")],
    }
    if number == 1:
        value["add"] = [{"text": FACT, "reason": "it opens the gate"}]
    return json.dumps(value | other)


def write_script(path: Path, steps: int, *lines: dict[str, Any], **every: Any) -> dict[str, str]:
    """The environment of an engine that says `lines`, and in steps that these do not name their
    reply; `every` goes into each line."""
    rows = [*lines, {"match": "Write the first paragraph", "text": reply(1)}]
    for step in range(2, steps + 1):
        if not any(f"STEP-{step} " in line["match"] for line in lines):
            rows.append({"match": f"STEP-{step} ", "text": reply(step)})
    path.write_text("".join(json.dumps(row | every) + "\n" for row in rows))
    return {"MEMAGENT_ENGINE": "scripted", "MEMAGENT_SCRIPT": str(path)}
