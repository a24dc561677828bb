"""Find the best order of recalled events in a prompt, as far as the pocket model can tell.

Compares four orders: that of the document, best first, best last, and the best at both ends with
the worst in the middle (arXiv:2307.03172). There are two tests: the surprise of FairytaleQA answers
after the events that contain them, and passkeys in one of eight events or in all of them.
"""

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from memagent.memory.index.embedder import Embedder
from memagent.memory.recall.selection import Recalled
from memagent.memory.segmentation.surprising import SurprisingSentences
from memagent.models.bundled import pocket_lm
from memagent.scorers.local import ModelSurprise
from memagent.streaming.loading import load_model
from memagent_bench.bootstrap import paired_gain
from memagent_bench.data.fairytale import fairytale, stories
from memagent_bench.data.files import read_texts
from memagent_bench.data.items import History, Item
from memagent_bench.measures.recall.stored import Stored
from memagent_bench.report import RESULTS, CheckError, Report, save, sha256_of
from memagent_bench.sample import thinned

BUDGET = 300  # tokens, as the product estimates them
WINDOW = 512  # tokens that the model was trained for, including the opening one
SHORT = 8  # maximum number of words of an answer
EVENTS = 8
RANKS = (1, 2, 4)  # of the event with the key
# The sentences that the model was trained on, see memagent_bench/training/sequences.py.
SENTENCE = "The {name} is {key}. Remember it. {key} is the {name}."
ASK = "\nWhat is the {name}? The {name} is"
NAMES = ("secret number", "code of the door", "number of the house", "password")
PLACES = ("mill", "garden", "harbour", "tower", "library", "chapel", "kitchen", "stable")
SEED = 5


def best_first(ranks: Sequence[int]) -> list[int]:
    """Document positions of the events, by rank."""
    return sorted(range(len(ranks)), key=ranks.__getitem__)


def both_ends(ranks: Sequence[int]) -> list[int]:
    """The best one first, the second best last, the third second, and so on inwards."""
    by_rank = best_first(ranks)
    return by_rank[::2] + by_rank[1::2][::-1]


# From the ranks of the events in document order to document positions in the new order.
ORDERS: Mapping[str, Callable[[Sequence[int]], list[int]]] = {
    "document": lambda ranks: list(range(len(ranks))),
    "best first": best_first,
    "best last": lambda ranks: best_first(ranks)[::-1],
    "both ends": both_ends,
}


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text and its answer, the characters from `start` to `end`."""

    text: str
    start: int
    end: int

    @classmethod
    def of(cls, before: str, answer: str, after: str = "") -> "Prompt":
        """Join the three parts."""
        return cls(before + answer + after, len(before), len(before) + len(answer))


class Pocket:
    """The pocket model, and its scores for the answers of prompts."""

    def __init__(self) -> None:
        self.model, self.tokenizer = load_model(str(pocket_lm()))

    def read(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The tokens, and the characters of each."""
        read = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return read["input_ids"], read["offset_mapping"]

    @torch.inference_mode()
    def judge(self, prompts: Sequence[Prompt]) -> np.ndarray:
        """For each prompt: nats per token of the answer, and 1 if greedy decoding returns it."""
        found = []
        for prompt in prompts:
            ids, offsets = self.read(prompt.text)
            if len(ids) >= WINDOW:
                raise CheckError(f"a prompt of {len(ids)} tokens does not fit")
            spots = [p for p, (a, b) in enumerate(offsets) if a < prompt.end and b > prompt.start]
            rows = torch.tensor([[self.tokenizer.bos_token_id, *ids]], device=self.model.device)
            states = self.model.model(input_ids=rows[:, :-1], use_cache=False).last_hidden_state
            chances = self.model.lm_head(states[0, spots]).float().log_softmax(-1)
            targets = rows[0, 1:][spots]
            nats = -chances.gather(1, targets[:, None]).mean()
            found.append((float(nats), bool((chances.argmax(-1) == targets).all())))
        return np.array(found, dtype=np.float64)


def answering(item: Item, at: int, recalled: Recalled) -> tuple[int, str] | None:
    """The event that contains a short answer in the passage of the question, and its words."""
    for start, end in item.spans:
        answer = item.passage[start:end]
        for place, event in enumerate(recalled.events):
            inside = event.start <= at + start and at + end <= event.end
            if inside and len(answer.split()) <= SHORT:
                return place, " ".join(answer.split())
    return None


@dataclass(slots=True)
class Answers:
    """One row per question: nats per token of the answer in each order, and without events."""

    nats: list[np.ndarray]
    ranks: list[int]  # of the event with the answer
    sizes: list[int]  # events in a prompt
    behind: list[list[int]]  # events after the one with the answer, by order
    asked: int = 0

    def ask(self, pocket: Pocket, item: Item, at: int, recalled: Recalled) -> None:
        """Add the question if the events contain its answer."""
        self.asked += 1
        if (found := answering(item, at, recalled)) is None:
            return
        place, answer = found
        texts = [event.text for event in recalled.events]
        ranks = [recalled.best.index(hit) for hit in recalled.chosen]
        turn = f"\nQuestion: {item.question}\nAnswer:"
        orders = [order(ranks) for order in ORDERS.values()]
        contexts = ["\n\n".join(texts[p] for p in order) for order in (*orders, [])]
        asks = [Prompt.of(context + turn, f" {answer}") for context in contexts]
        self.nats.append(pocket.judge(asks)[:, 0])
        self.ranks.append(ranks[place])
        self.sizes.append(len(texts))
        self.behind.append([len(texts) - 1 - order.index(place) for order in orders])


def gain(values: np.ndarray, own: np.ndarray) -> dict[str, float]:
    """Mean, and the difference from document order with a 95 % interval."""
    difference, low, high = paired_gain(values, own)
    mean = round(float(values.mean()), 4)
    return {"mean": mean, "difference": difference, "low": low, "high": high}


def answer_rows(answers: Answers) -> Iterator[dict[str, Any]]:
    """One row per order, and one for the model that sees only the question."""
    nats, behind = np.stack(answers.nats), np.array(answers.behind)
    for place, order in enumerate((*ORDERS, "no events")):
        row = {"measure": "surprise of answers", "order": order, "questions": len(nats)}
        if order in ORDERS:
            row["events behind the answer"] = round(float(behind[:, place].mean()), 2)
        yield row | gain(nats[:, place], nats[:, 0])


@dataclass(frozen=True, slots=True)
class Keys:
    """Eight events, one with the requested key; with `rivals` the others have keys too."""

    texts: list[str]
    sentences: list[str]  # the requested one first
    ask: str
    key: str

    @classmethod
    def draw(
        cls, pocket: Pocket, events: Sequence[str], rivals: bool, random: np.random.Generator
    ) -> "Keys":
        """Consecutive events of a story, cut so that the prompt just fits."""
        places = random.permutation(PLACES)
        names = [f"{random.choice(NAMES)} of the {p}" for p in places] if rivals else ["pass key"]
        keys = ["".join(map(str, random.integers(0, 10, 5))) for _ in names]
        said = [SENTENCE.format(name=n, key=key) for n, key in zip(names, keys, strict=True)]
        ask = ASK.format(name=names[0])
        empty = cls(["."] * EVENTS, said, ask, keys[0]).prompt(range(EVENTS), 0)
        room = (WINDOW - 1 - len(pocket.read(empty.text)[0])) // EVENTS
        first = int(random.integers(0, len(events) - EVENTS + 1))
        near = events[first : first + EVENTS]
        texts = [text[: pocket.read(text)[1][:room][-1][1]] for text in near]
        return cls(texts, said, ask, keys[0])

    def prompt(self, order: Sequence[int], place: int) -> Prompt:
        """The events in this order; the one at `place` of the document has the requested key."""
        # Keyed by how far an event is after `place`, wrapping around at the end.
        said = {behind: f"\n{sentence}" for behind, sentence in enumerate(self.sentences)}
        parts = [self.texts[p] + said.get((p - place) % EVENTS, "") for p in order]
        return Prompt.of("\n\n".join(parts) + self.ask, f" {self.key}", ".")


def key_rows(
    pocket: Pocket, stories: Sequence[list[str]], trials: int, rivals: bool
) -> Iterator[dict[str, Any]]:
    """One row per order and rank of the event with the key, then one per position of it."""
    random = np.random.default_rng([SEED, rivals])
    asked: dict[tuple[Any, ...], list[Prompt]] = defaultdict(list)
    for trial in range(trials):
        keys = Keys.draw(pocket, stories[trial % len(stories)], rivals, random)
        place = trial % EVENTS
        asked["order", "document"].append(keys.prompt(range(EVENTS), place))
        for rank in RANKS:
            ranks = list(random.permutation([r for r in range(EVENTS) if r != rank - 1]))
            ranks.insert(place, rank - 1)
            for name, order in list(ORDERS.items())[1:]:
                asked["order", name, "rank", rank].append(keys.prompt(order(ranks), place))
        for position in range(EVENTS):
            asked["position", position + 1].append(keys.prompt(range(EVENTS), position))
    own: np.ndarray | None = None
    for key, prompts in asked.items():
        nats, right = pocket.judge(prompts).T
        own = right if own is None else own
        row = {"measure": "keys in every event" if rivals else "one key"}
        row |= dict(zip(key[::2], key[1::2], strict=True)) | {"questions": trials}
        yield row | gain(right, own) | {"nats per token": round(float(nats.mean()), 4)}


def walk(
    pocket: Pocket, histories: Iterable[History], items: Sequence[Item]
) -> tuple[Answers, list[list[str]]]:
    """The model's scores for the answers, and the events of each story that has eight."""
    embedder = Embedder()
    segmenter = SurprisingSentences(ModelSurprise())
    answers, events = Answers([], [], [], []), []
    for history in histories:
        with tempfile.TemporaryDirectory() as folder:
            stored = Stored(history, embedder, Path(folder), segmenter)
            memory = stored.memory
            source = memory.sources.get(history.name).id
            events.append([event.text for event in memory.events.of(source)])
            text = memory.spans.text(source)
            for item in items:
                if item.group == history.name and (at := text.find(item.passage)) >= 0:
                    answers.ask(pocket, item, at, memory.recall(item.question, budget=BUDGET))
            stored.close()
        print(f"{history.name}: {len(answers.nats)} of {answers.asked}", flush=True)
    return answers, [texts for texts in events if len(texts) >= EVENTS]


def metrics(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The mean of every row under a flat name."""
    found = {}
    for row in rows:
        number = row.get("rank", row.get("position", ""))
        name = f"{row['measure']} {row.get('order', 'position')} {number}".strip()
        found[name.replace(" ", "_")] = row["mean"]
    return found


def notes(answers: Answers) -> tuple[str, ...]:
    """How to read the figures."""
    count, size = len(answers.nats), np.mean(answers.sizes)
    return (
        "a model of 2 million parameters with a window of 512 tokens: the figures say from where "
        "it copies, not whether an instructed model loses the middle of a long prompt",
        f"surprise of answers: nats per token, lower is better; of {answers.asked} questions with "
        f"an answer word for word in their sections, the {count} with one of at most {SHORT} words "
        f"inside an event recalled for {BUDGET} tokens; {size:.1f} events a "
        f"prompt, the answer in the best one for {answers.ranks.count(0)}",
        f"keys: {EVENTS} events of a story that fill the window; mean: share that greedy decoding "
        "returns whole; the rank is given, and a document has the key evenly at all places",
        "one key: the very sentences of the training; keys in every event: several keys were not "
        "in it, so that what depends on the place is this model's own weakness",
        "difference: from document order, with a 95 % interval over questions or trials (paired "
        "bootstrap); questions that share a story count as independent",
    )


def main() -> None:
    """Measure both tests and write order.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the archive of FairytaleQA")
    parser.add_argument("--limit", type=int, help="maximum number of questions, evenly spaced")
    parser.add_argument("--trials", type=int, default=48, help="passkeys per kind, rank and order")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    pocket, files = Pocket(), dict(read_texts(given.data, ".csv"))
    items = [item for item in fairytale(files, "val") if item.spans]
    answers, events = walk(pocket, stories(files, "val"), thinned(items, given.limit))
    rows = list(answer_rows(answers))
    rows += key_rows(pocket, events, given.trials, rivals=False)
    rows += key_rows(pocket, events, given.trials, rivals=True)
    print(*rows, sep="\n")
    about = {"file": given.data.name, "sha256": sha256_of(given.data)}
    print(save(Report("order", about, metrics(rows), rows, notes(answers)).as_object(), given.out))


if __name__ == "__main__":
    main()
