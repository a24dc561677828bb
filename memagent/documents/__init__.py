"""Reading documents: from a file or a pipe to the pieces that memory stores.

Knows nothing of engines or the command line. Each format is one file; the library it needs is
imported when the first document of that format is read.
"""

from __future__ import annotations

from memagent.documents.discover import discover
from memagent.documents.open import MAX_BYTES, Document, open_document, read_stdin

__all__ = ["MAX_BYTES", "Document", "discover", "open_document", "read_stdin"]
