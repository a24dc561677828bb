"""Write the Python language reference, which every installation carries, as one Markdown file."""

import sys
from pathlib import Path
from pydoc_data.topics import topics

chapters = [f"# {name}\n\n{text.strip()}\n\n" for name, text in sorted(topics.items())]
Path(sys.argv[1]).write_text("".join(chapters), encoding="utf-8")
