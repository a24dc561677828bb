"""Evidence coverage of segmenters on FairytaleQA at equal token budgets.

Each story is a document, and its questions are asked about it. A question is covered if one of its
answers, where it occurs verbatim in the section of the question, lies inside the recalled text.
Compares the two segmenters of the product and a control: the rule of surprise with noise.
"""

import argparse
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from memagent.documents.split import chunks
from memagent.memory.events import Filter
from memagent.memory.index.embedder import Embedder
from memagent.memory.namespace import Namespace
from memagent.memory.segmentation.scorer import Surprise
from memagent.memory.segmentation.sentences import Segmenter, Sentences, estimate_tokens
from memagent.memory.segmentation.surprising import SurprisingSentences
from memagent.memory.store.database import Store
from memagent.scorers.local import ModelSurprise
from memagent.types import Event, Piece
from memagent_bench.data.fairytale import fairytale, tales
from memagent_bench.data.files import read_texts
from memagent_bench.data.items import Item
from memagent_bench.report import RESULTS, CheckError, Report, save, sha256_of

BUDGETS = (300, 600, 1200)


class Noise:
    """The control: random surprise, seeded by the checksum of the text."""

    id = "noise"

    def score(self, texts: Sequence[str]) -> list[Surprise]:
        found = []
        for text in texts:
            places = np.arange(len(text), dtype=np.int64)
            random = np.random.default_rng(zlib.crc32(text.encode()))
            nats = random.exponential(3.0, len(text)).astype(np.float32)
            found.append(Surprise(np.stack((places, places + 1), 1), nats))
        return found


class KeptVectors(Embedder):
    """An embedder that caches vectors, since the segmenters share questions and events."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[str, np.ndarray] = {}

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        new = [text for text in dict.fromkeys(texts) if text not in self._kept]
        self._kept.update(zip(new, super().encode(new), strict=True))
        return np.stack([self._kept[text] for text in texts])


def covered(events: Iterable[Event], text: str, spans: Iterable[tuple[int, int]]) -> bool:
    """Whether one of the spans lies within adjacent events."""
    ranges: list[tuple[int, int]] = []
    for event in sorted(events, key=lambda event: event.start):
        if text[event.start : event.end] != event.text:
            raise CheckError(f"{event.place}: the recalled text differs from the story")
        if ranges and not text[ranges[-1][1] : event.start].strip():
            ranges[-1] = (ranges[-1][0], event.end)
        else:
            ranges.append((event.start, event.end))
    return any(a <= start and end <= b for start, end in spans for a, b in ranges)


def coverage(
    segmenter: Segmenter, embedder: Embedder, texts: Mapping[str, str], items: Sequence[Item]
) -> dict[str, float]:
    """The share of questions covered at each budget, and the sizes of events."""
    hits: dict[int, int] = defaultdict(int)
    asked = 0
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "memory.db")
        memory = Namespace(store, "default", embedder, Path(folder) / "index", segmenter)
        for name, text in texts.items():
            source, _ = memory.sources.begin_document(name, name, None, "text/plain")
            memory.add_pieces(source, map(Piece, chunks([text])), lambda spans, chars: None)
        memory.catch_up()
        sources = {name: memory.sources.get(name).id for name in texts}
        sizes = [estimate_tokens(e.text) for i in sources.values() for e in memory.events.of(i)]
        for item in items:
            text, where = texts[item.group], Filter(sources=(sources[item.group],))
            at = text.find(item.passage)
            if at < 0 or not item.spans:
                continue
            asked += 1
            spans = [(at + start, at + end) for start, end in item.spans]
            for budget in BUDGETS:
                found = memory.recall(item.question, budget=budget, where=where)
                if found.spent > budget:
                    raise CheckError(f"{found.spent} of {budget} tokens were spent")
                hits[budget] += covered(found.events, text, spans)
        memory.close()
        store.close()
    return {
        "questions": asked,
        "events": len(sizes),
        "tokens_per_event": round(sum(sizes) / len(sizes), 1),
        **{f"coverage@{budget}": round(hits[budget] / asked, 4) for budget in BUDGETS},
    }


def main() -> None:
    """Measure both segmenters and the control, and write segmenters.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the archive of FairytaleQA")
    parser.add_argument("--part", default="val", help="val or train")
    parser.add_argument("--every", type=int, default=1, help="use every n-th story")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    files = dict(read_texts(given.data, ".csv"))
    texts = {
        tale.name: "\n\n".join(row["text"].strip() for row in tale.sections)
        for tale in list(tales(files, given.part))[:: given.every]
    }
    items = [item for item in fairytale(files, given.part) if item.group in texts]
    embedder = KeptVectors()
    rows = []
    for name, segmenter in (
        ("sentences", Sentences()),
        ("surprise", SurprisingSentences(ModelSurprise())),
        ("noise", SurprisingSentences(Noise())),
    ):
        row = {"segmenter": name, "id": segmenter.id}
        rows.append({**row, **coverage(segmenter, embedder, texts, items)})
        print(rows[-1], flush=True)
    metrics = {
        f"{row['segmenter']}_{name}": value
        for row in rows
        for name, value in row.items()
        if isinstance(value, int | float)
    }
    notes = (
        f"split {given.part}, {len(texts)} stories; questions without a verbatim answer in their "
        "sections are left out",
        "noise: the rule of surprise applied to random numbers",
    )
    about = {"file": given.data.name, "sha256": sha256_of(given.data)}
    print(save(Report("segmenters", about, metrics, rows, notes).as_object(), given.out))


if __name__ == "__main__":
    main()
