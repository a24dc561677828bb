"""Tell something in one conversation, ask for it in another: nothing but this machine is used."""

import tempfile
from pathlib import Path

from memagent import Session, Settings
from memagent.agent.workspace import Workspace

folder = Path(tempfile.mkdtemp())
settings = Settings(store=folder / "memory.db", engine="pocket")

with Workspace(settings, print) as workspace:
    monday = Session(workspace.agent(), "monday")
    monday.tell("My sister's cat is called Biscuit and she is afraid of thunder.")
    monday.tell("The key to the boat house hangs behind the red door.")

with Workspace(settings, print) as workspace:
    friday = Session(workspace.agent(), "friday")
    answer = friday.tell("What is my sister's cat called?")
    print(answer.text)
    for cited in answer.citations:
        print(f"  {cited.source}, characters {cited.start}-{cited.end}: {cited.text}")
