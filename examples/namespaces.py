"""Two people, one store: each finds only their own words, and a time range narrows them further."""

import tempfile
from pathlib import Path

from memagent import Settings
from memagent.agent.workspace import Workspace
from memagent.memory.events import Filter

folder = Path(tempfile.mkdtemp())
with Workspace(Settings(store=folder / "memory.db"), print) as workspace:
    for person, text in (
        ("anna", "I hid the present for Emil under the stairs."),
        ("emil", "I hid the present for Anna in the boat."),
    ):
        memory = workspace.memory(person)
        diary = memory.sources.session("diary")
        memory.spans.append_turn(diary.id, "user", text, time="2026-12-20T18:00:00+00:00")
        memory.spans.append_turn(diary.id, "user", "It snowed all day.")

    for person in ("anna", "emil"):
        found = workspace.memory(person).recall("Where is the present?", budget=200)
        print(person, "->", found.best[0].event.text)

    christmas = Filter(since="2026-12-20", until="2026-12-27")
    found = workspace.memory("anna").recall("What happened?", budget=200, where=christmas)
    print("that week:", [hit.event.text for hit in found.best])
