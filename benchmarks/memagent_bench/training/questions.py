"""The question sets that train the reader, read as questions with spans of a passage.

Knows nothing of models or of unanswerable questions.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

from memagent_bench.data.fairytale import fairytale
from memagent_bench.data.files import read_texts
from memagent_bench.data.friends import friends
from memagent_bench.data.items import Item, find_all

__all__ = ["SETS", "closest_span", "is_kept", "paragraphs", "read_sets"]

# bAbI tasks whose answer is a word of the story.
BABI = (1, 2, 4, 5, 11, 12, 13, 14)
STORIES_PER_TASK = 60
# One twelfth of the stories and articles of these sets is held out.
KEPT = frozenset({"fairytaleqa", "natural"})


def _fairytale(path: Path) -> Iterator[Item]:
    for item in fairytale(dict(read_texts(path, ".csv")), "train"):
        yield item if item.spans else replace(item, spans=closest_span(item))


def _friends(path: Path) -> Iterator[Item]:
    for _, text in read_texts(path, "friendsqa_dev.json"):
        yield from friends(json.loads(text), "train")


def _natural(path: Path) -> Iterator[Item]:
    """Natural Questions, each with the passage that contains its answer."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            question = row["question"].rstrip(" ?")
            question = question[:1].upper() + question[1:] + "?"
            for context in row["ctxs"]:
                spans = [s for a in row["answers"] for s in find_all(context["text"], a)]
                if context["isgold"] and spans:
                    yield Item(
                        "natural",
                        context["title"],
                        question,
                        context["text"],
                        tuple(spans),
                        tuple(row["answers"]),
                    )


def _multihop(path: Path) -> Iterator[Item]:
    """HotpotQA and MuSiQue with their supporting passages joined, and MuSiQue's single hops."""
    for name, text in read_texts(path, "_train.json"):
        for row in json.loads(text):
            yield from _hotpot(row) if name.startswith("hotpot") else _musique(row)


def _hotpot(row: dict[str, Any]) -> Iterator[Item]:
    needed = {title for title, _ in row["supporting_facts"]}
    passage = "\n".join("".join(said) for title, said in row["context"] if title in needed)
    yield _spanned("hotpotqa", row["question"], passage, row["answer"])


def _musique(row: dict[str, Any]) -> Iterator[Item]:
    texts = [paragraph["paragraph_text"] for paragraph in row["paragraphs"]]
    hops = row["question_decomposition"]
    joined = "\n".join(texts[hop["paragraph_support_idx"]] for hop in hops)
    yield _spanned("musique", row["question"], joined, row["answer"])
    for hop in hops:
        question = hop["question"]
        for place, earlier in enumerate(hops, start=1):
            question = question.replace(f"#{place}", earlier["answer"])
        if ">>" in question:  # a relation: "Person >> birthplace"
            subject, _, relation = question.partition(" >> ")
            question = f"What is the {relation} of {subject}?"
        yield _spanned("musique", question, texts[hop["paragraph_support_idx"]], hop["answer"])


def _babi(path: Path) -> Iterator[Item]:
    for name, text in read_texts(path, "_train.txt"):
        task = re.search(r"/en/qa(\d+)_", f"/{name}")
        if task is None or int(task[1]) not in BABI:
            continue
        stories = 0
        lines: dict[int, str] = {}
        for row in text.splitlines():
            number, _, said = row.partition(" ")
            if number == "1":
                stories += 1
                lines = {}
            if stories > STORIES_PER_TASK:
                break
            if "\t" not in said:
                lines[int(number)] = said
                continue
            question, answer, facts = said.split("\t")
            yield from _told("babi", question.strip(), lines, answer, map(int, facts.split()))


def _told(
    source: str, question: str, lines: dict[int, str], answer: str, facts: Iterator[int]
) -> Iterator[Item]:
    """The answer in the facts that the set names, ignoring other occurrences of the word."""
    starts, passage = {}, ""
    for number, line in lines.items():
        starts[number] = len(passage)
        passage += line + " "
    spans = tuple(
        (starts[fact] + start, starts[fact] + end)
        for fact in facts
        for start, end in find_all(lines[fact], answer)
    )
    yield Item(source, "", question, passage.rstrip(), spans, (answer,))


def _spanned(source: str, question: str, passage: str, answer: str) -> Item:
    return Item(source, "", question, passage, tuple(find_all(passage, answer)), (answer,))


def closest_span(item: Item, least: float = 0.6) -> tuple[tuple[int, int], ...]:
    """The run of words most similar to an answer by word F1, if it reaches `least`."""
    words = [m.span() for m in re.finditer(r"\w+", item.passage)]
    said = [item.passage[start:end].lower() for start, end in words]
    best, found = least, ()
    for answer in item.answers:
        wanted = Counter(re.findall(r"\w+", answer.lower()))
        size = sum(wanted.values())
        ends = [place for place, word in enumerate(said) if word in wanted]
        for first in ends:
            for last in ends:
                if not 0 <= last - first < 2 * size:
                    continue
                common = sum((Counter(said[first : last + 1]) & wanted).values())
                f1 = 2 * common / (last - first + 1 + size)
                if f1 > best:
                    best, found = f1, ((words[first][0], words[last][1]),)
    return found


SETS: dict[str, Callable[[Path], Iterator[Item]]] = {
    "fairytaleqa-train-val.tar.xz": _fairytale,
    "friendsqa-dev.tar.xz": _friends,
    "nq-open-oracle.jsonl.gz": _natural,
    "hotpot-musique-100.tar.xz": _multihop,
    "babi-en.tar.xz": _babi,
}


def read_sets(folder: Path) -> list[Item]:
    """All items with a span, in the order of the sets."""
    return [item for name, read in SETS.items() for item in read(folder / name) if item.spans]


def is_kept(item: Item) -> bool:
    """Whether an item is held out to calibrate the scores of the reader."""
    return item.source in KEPT and crc32(item.group.encode()) % 12 == 0


def paragraphs(folder: Path) -> list[str]:
    """Encyclopedic paragraphs of the multi-hop sets, with or without a question about them."""
    found = []
    for name, text in read_texts(folder / "hotpot-musique-100.tar.xz", "_corpus.json"):
        rows = json.loads(text)
        if name.startswith("hotpot"):
            found += ["".join(said) for said in rows.values()]
        else:
            found += [row["text"] for row in rows]
    return found
