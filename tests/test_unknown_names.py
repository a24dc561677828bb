"""Questions about a name that is not stored."""

from __future__ import annotations

import pytest

from memagent.agent.unknown_names import unknown_names
from memagent.memory.namespace import Namespace
from memagent.types import Piece

NOTES = (
    "Ada Lund rebuilt the pier at Sorrow Quay in 1987. The fault code E04 stops the compressor. "
    "Linnea Roos has a dog called Mustard."
)


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("What does the fault code E09 mean?", ["E09"]),
        ("What does the fault code E04 mean?", []),
        ("Who rebuilt the pier in Rotterdam?", ["Rotterdam"]),
        ("Who is Ada Lund's daughter?", []),
        ("What is the name of the dog of Linea Ross?", []),
        ("what did rotterdam say about the pier?", []),
        ("Wie heißt der Hund von Linnea Roos?", []),
        ("How many of the 17 piers are there in Sorrow Quay?", []),
    ],
)
def test_names_that_stand_nowhere(memory: Namespace, question: str, names: list[str]) -> None:
    source, _ = memory.sources.begin_document("notes", NOTES, None, "text/plain")
    memory.add_pieces(source, [Piece(NOTES)], lambda spans, chars: None)
    hits = memory.recall(question, budget=300).chosen
    assert unknown_names(memory, question, [hit.event for hit in hits]) == names
