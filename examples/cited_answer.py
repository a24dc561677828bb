"""Ask about a document and check each citation against the document, character for character."""

import tempfile
from pathlib import Path

import memagent

folder = Path(tempfile.mkdtemp())
report = folder / "report.txt"
report.write_text(
    "The bridge over the Lenne was opened in 1911. It carried a tram line until 1958.\n\n"
    "After the flood of 1960 its middle pier was rebuilt in concrete. The engineer of the\n"
    "rebuilding was Ada Krüger, who later planned the harbour of Norden.\n"
)

with memagent.open(folder / "memory.db", engine="pocket") as memory:
    memory.add(report)
    answer = memory.ask("Who rebuilt the pier?")
    print(answer.text)
    for cited in answer.citations:
        assert report.read_text()[cited.start : cited.end] == cited.text
        print(f"verified: characters {cited.start}-{cited.end} of {cited.source}")
