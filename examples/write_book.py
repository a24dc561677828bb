"""Write the Python language reference, which every installation carries, as one Markdown file."""

import re
import sys
from pathlib import Path
from pydoc_data.topics import topics

UNDERLINED = re.compile(r"^(\S.*)\n([=*~^-])\2{2,}$", re.MULTILINE)

chapters = [
    f"# {name}\n\n" + UNDERLINED.sub(r"## \1", text.strip()) + "\n\n"
    for name, text in sorted(topics.items())
]
Path(sys.argv[1]).write_text("".join(chapters), encoding="utf-8")
