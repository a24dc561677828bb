"""Say something in one conversation, ask for it in another: everything stays on this machine."""

import tempfile
from pathlib import Path

import memagent

store = Path(tempfile.mkdtemp()) / "memory.db"

with memagent.open(store, engine="pocket") as memory:
    monday = memory.session("monday")
    monday.ask("My sister's cat is called Biscuit and she is afraid of thunder.")
    monday.ask("The key to the boat house hangs behind the red door.")

with memagent.open(store, engine="pocket") as memory:
    answer = memory.session("friday").ask("What is my sister's cat called?")
    print(answer.text)
    for cited in answer.citations:
        print(f"  {cited.source}, characters {cited.start}-{cited.end}: {cited.text}")
