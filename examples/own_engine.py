"""An engine of your own: one class with `stream` and `count`. This one shouts what it recalls."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import memagent


class Shout(memagent.Engine):
    name, model, context = "shout", "upper case", 4096
    capabilities = memagent.Capabilities(generates=True)

    def stream(self, request: memagent.Request) -> Iterator[memagent.Chunk]:
        for number, event in enumerate(request.evidence, start=1):
            yield memagent.Chunk(f"{event.text.upper()} [{number}]\n")

    def count(self, text: str) -> int:
        return len(text.split())


with memagent.open(Path(tempfile.mkdtemp()) / "memory.db", engine=Shout()) as memory:
    memory.session("first").ask("The ferry leaves at half past six.")
    answer = memory.session("second").ask("When does the ferry leave?")
    print(answer.text)
    print("cited:", [cited.text for cited in answer.citations])
