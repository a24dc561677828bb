"""The second look at the best events, and the second hop through the names they bring up."""

from collections.abc import Sequence
from pathlib import Path

from memagent.memory.embed import Embedder
from memagent.memory.items import Event, Piece
from memagent.memory.memory import Memory
from memagent.memory.recall.budget import Hit
from memagent.memory.recall.clues import names_in
from memagent.memory.recall.rereading import reread
from memagent.memory.store import Store
from memagent.reader.reader import Reader


def hit(number: int, tokens: int = 40) -> Hit:
    text = f"text {number}"
    event = Event(number, 1, "a", "document", number, number + 1, text, None, None, None, "2026")
    return Hit(event, 3.0 - number / 10, {}, tokens)


class Reads:
    """Prefers the texts named, and remembers what it was given."""

    def __init__(self, *best: str) -> None:
        self.best = best
        self.seen: list[str] = []

    def __call__(self, question: str, texts: Sequence[str]) -> list[float]:
        self.seen = list(texts)
        return [float(text in self.best) for text in texts]


def test_what_the_reader_prefers_comes_first_where_not_all_fits() -> None:
    reads = Reads("text 7")
    found = reread("?", [hit(n) for n in range(30)], reads, 500)
    assert reads.seen == [f"text {n}" for n in range(20)]
    assert found[0].event.text == "text 7"
    assert found[0].why["reading"] > 0
    assert [h.event.id for h in found if not h.why] == list(range(20, 30))


def test_what_fits_anyway_is_not_read() -> None:
    reads = Reads("text 7")
    hits = [hit(n) for n in range(30)]
    assert reread("?", hits, reads, 20 * 40) == hits
    assert reread("?", hits[:3], reads, 120) == hits[:3]
    assert reread("?", [], reads, 50) == []
    assert reads.seen == []


def test_no_more_is_read_than_a_second_look_is_worth() -> None:
    reads = Reads()
    reread("?", [hit(n, tokens=140) for n in range(30)], reads, 500)
    assert len(reads.seen) == 8


def test_the_bundled_reader_finds_the_answer_among_likely_texts(
    store: Store, embedder: Embedder, tmp_path: Path
) -> None:
    reader = Reader(embedder=embedder)
    plain = Memory(store, "default", embedder, tmp_path / "index", print)
    session = plain.sources.session("talk")
    for n in range(12):
        plain.spans.append_turn(session.id, "user", f"The gate code of house {n} was lost again.")
    plain.spans.append_turn(session.id, "user", "The new gate code is 4711, by the way.")
    again = Memory(store, "default", embedder, tmp_path / "index", print, reread=reader.scores)
    found = again.recall("What is the gate code?", budget=60)
    assert "4711" in found.best[0].event.text
    assert found.best[0].why["reading"] > 0


def test_names_that_a_text_brings_up() -> None:
    text = "The director, Ada Brandt of Kap Arnar, met Bo. It rained. Then they left for Perrin."
    assert names_in(text) == ["Ada Brandt of Kap Arnar", "Bo", "Perrin"]
    assert names_in("It rained all day. Nothing else.") == []


def test_the_second_hop_goes_through_a_name(memory: Memory) -> None:
    hops = (
        "The Heron is a silent film of 1921. It was directed by Milo Dastur.",
        "Milo Dastur was born in Perrin. He was the son of a clockmaker.",
    )
    filler = [
        f"Film number {n} was shown in the town hall and nobody knew its director."
        for n in range(40)
    ]
    for name, text in enumerate([*filler[:20], hops[0], *filler[20:], hops[1]]):
        source, _ = memory.sources.begin_document(str(name), str(name), None, "text/plain")
        memory.add_pieces(source, [Piece(text)], lambda spans, chars: None)
    found = memory.recall("Where was the director of the film The Heron born?", budget=70)
    assert {event.text for event in found.events} == set(hops)
    second = next(hit for hit in found.chosen if hit.event.text == hops[1])
    assert "names" in second.ranks
    assert second.why["names"] > 0
