"""The lines typed at the prompt, kept in a file for the arrow keys.

The file is not part of the store, so text that is forgotten must be removed here as well.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from prompt_toolkit.history import FileHistory

__all__ = ["ChatHistory"]


class ChatHistory(FileHistory):
    """The history in the folder `state_dir`; if it cannot be written, it lasts for this chat."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / "chat_history"
        with suppress(OSError):
            state_dir.mkdir(parents=True, exist_ok=True)
            self.path.touch(mode=0o600)
        super().__init__(self.path)

    def store_string(self, string: str) -> None:
        """Append an entry to the file."""
        # A full disk must not break the prompt: the turn itself is stored elsewhere.
        with suppress(OSError):
            super().store_string(string)

    def forget(self, text: str) -> None:
        """Remove every entry that contains `text` or is contained in it."""
        lost = text.strip()
        entries = list(self.load_history_strings())[::-1]
        kept = [e for e in entries if not (lost in e or (e.strip() and e.strip() in lost))]
        if not lost or len(kept) == len(entries):
            return
        self.path.write_bytes(b"")
        self._loaded = False
        self._loaded_strings = []
        for entry in kept:
            self.store_string(entry)
