"""Two people, one store: each finds only their own words, and a time range narrows them further."""

import tempfile
from pathlib import Path

import memagent

store = Path(tempfile.mkdtemp()) / "memory.db"
for person, text in (
    ("anna", "I hid the present for Emil under the stairs."),
    ("emil", "I hid the present for Anna in the boat."),
):
    with memagent.open(store, namespace=person, engine="pocket") as memory:
        diary = memory.session("diary")
        diary.say(text, time="2026-12-20T18:00:00+00:00")
        diary.say("It snowed all day.")
        print(person, "->", memory.search("Where is the present?")[0].text)

with memagent.open(store, namespace="anna", engine="pocket") as memory:
    christmas = memagent.Filter(since="2026-12-20", until="2026-12-27")
    print("that week:", [hit.text for hit in memory.search("What happened?", where=christmas)])
