"""The training examples of the reader, in order: questions with cropped passages, mixed by a seed.

Knows nothing of models or tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from memagent.memory.segmentation.sentences import sentences
from memagent_bench.data.items import Item
from memagent_bench.training.cloze import cloze_items
from memagent_bench.training.negatives import without_answer
from memagent_bench.training.questions import is_kept, paragraphs, read_sets
from memagent_bench.training.statements import statement_items

__all__ = ["Data", "Lesson", "crop", "in_batches", "lessons"]

ENCYCLOPEDIC = frozenset({"natural", "musique", "hotpotqa"})
Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Data:
    """Number of questions of each kind; `[data]` of the configuration."""

    cloze: int
    statements: int
    natural_copies: float
    copies: float
    unanswerable: float
    whole: float


@dataclass(frozen=True, slots=True)
class Lesson:
    """A question, a passage, and the answer spans in it, empty if it does not answer."""

    question: str
    passage: str
    spans: Spans


def lessons(folder: Path, data: Data, seed: int) -> list[Lesson]:
    """All lessons of a run; the generated questions are among the first."""
    random = Random(seed)
    items = [item for item in read_sets(folder) if not is_kept(item)]
    natural = [item.passage for item in items if item.source == "natural"]
    texts = natural + paragraphs(folder)
    made = [*cloze_items(texts, data.cloze, seed)]
    told, alike = zip(*statement_items(data.statements, seed), strict=True)
    copied = [item for item in items for _ in range(_copies(item, data, random))]
    asked = made + copied
    everything = [*asked, *told]
    wrong = [*without_answer(asked, texts, seed), *([text] for text in alike)]
    placed: list[tuple[float, Lesson]] = []
    for place, (item, other) in enumerate(zip(everything, wrong, strict=True)):
        # Generated questions fill the first third and become rarer.
        when = random.random() ** 2 * 0.4 if place < len(made) else 0.05 + 0.95 * random.random()
        passage, spans = crop(item.passage, item.spans, random, data.whole)
        placed.append((when, Lesson(item.question, passage, spans)))
        # bAbI asks the same questions of every story, so another story may answer them.
        if other and item.source != "babi" and random.random() < data.unanswerable:
            passage, _ = crop(other[0], (), random, data.whole)
            placed.append((when, Lesson(item.question, passage, ())))
        elif random.random() < 0.1 and len(item.passage) > len(passage):
            placed += ((when, rest) for rest in _without(item))
    placed.sort(key=lambda pair: pair[0])
    return [lesson for _, lesson in placed]


def _copies(item: Item, data: Data, random: Random) -> int:
    """How often a question is used; 0.4 uses four of ten."""
    copies = data.natural_copies if item.source in ENCYCLOPEDIC else data.copies
    if item.source == "babi":
        copies = min(1.0, copies)
    whole, rest = divmod(copies, 1)
    return int(whole) + (rest > 0 and random.random() < rest)


def crop(passage: str, spans: Spans, random: Random, whole: float) -> tuple[str, Spans]:
    """A run of whole sentences around one of the spans, and the spans inside it.

    The share `whole` of the passages is not cropped; recalled events are shorter than passages.
    """
    places = [(start, end) for start, end, _ in sentences(passage)]
    if len(places) < 2 or random.random() < whole:
        return passage, spans
    size = random.randint(60, 700)
    start, end = random.choice(spans) if spans else random.choice(places)
    first = next((i for i, place in enumerate(places) if place[1] > start), 0)
    last = next((i for i, place in enumerate(places) if place[1] >= end), len(places) - 1)
    while places[last][1] - places[first][0] < size and (first > 0 or last < len(places) - 1):
        if last == len(places) - 1 or (first > 0 and random.random() < 0.5):
            first -= 1
        else:
            last += 1
    low, high = min(places[first][0], start), max(places[last][1], end)
    kept = tuple((a - low, b - low) for a, b in spans if low <= a and b <= high)
    return passage[low:high], kept


def _without(item: Item) -> Iterator[Lesson]:
    """The longer of the parts of a passage before and after all of its answers."""
    places = [(start, end) for start, end, _ in sentences(item.passage)]
    first, last = min(s for s, _ in item.spans), max(e for _, e in item.spans)
    before = [place for place in places if place[1] <= first]
    after = [place for place in places if place[0] >= last]
    longer = max(before, after, key=len)
    if longer:
        yield Lesson(item.question, item.passage[longer[0][0] : longer[-1][1]], ())


def in_batches(sequences: Sequence[int], tokens: int, seed: int) -> list[list[int]]:
    """Indices of sequences of these lengths, in batches of about `tokens` including padding.

    Sequences of similar length share a batch; batches stay close to their place in the order.
    """
    random = Random(seed)
    batches: list[list[int]] = []
    for start in range(0, len(sequences), 1024):
        near = sorted(range(start, min(start + 1024, len(sequences))), key=sequences.__getitem__)
        found: list[list[int]] = [[]]
        for place in near:
            if (len(found[-1]) + 1) * sequences[place] > tokens and found[-1]:
                found.append([])
            found[-1].append(place)
        random.shuffle(found)
        batches += found
    return batches
