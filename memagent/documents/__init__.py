"""Reading documents: from a file or a pipe to the pieces that memory stores.

Knows nothing of stores, engines or the command line. The formats are one file each, and the
libraries behind them are imported when the first document of that format is read.
"""

from __future__ import annotations

from memagent.documents.discover import discover
from memagent.documents.open import MAX_BYTES, Document, open_document, read_stdin

__all__ = ["MAX_BYTES", "Document", "discover", "open_document", "read_stdin"]
