"""A backbone of your own: one class with `stream` and `count`. This one shouts what it recalls."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from memagent import Agent, Session, Settings
from memagent.agent.workspace import Workspace
from memagent.engines.base import Capabilities, Engine
from memagent.types import Chunk, Request


class Shout(Engine):
    name, model, context = "shout", "upper case", 4096
    capabilities = Capabilities(generates=True)

    def stream(self, request: Request) -> Iterator[Chunk]:
        for number, event in enumerate(request.evidence, start=1):
            yield Chunk(f"{event.text.upper()} [{number}]\n")

    def count(self, text: str) -> int:
        return len(text.split())


settings = Settings(store=Path(tempfile.mkdtemp()) / "memory.db", engine="pocket")
with Workspace(settings, print) as workspace:
    agent = Agent(workspace.memory(), Shout(), settings)
    Session(agent, "first").tell("The ferry leaves at half past six.")
    answer = Session(agent, "second").tell("When does the ferry leave?")
    print(answer.text)
    print("cited:", [cited.text for cited in answer.citations])
