"""Data sets as stores to fill and questions to ask of each: desk sets, SQuAD, LoCoMo and QMSum."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from memagent.api import Memory
from memagent.errors import InputError
from memagent_bench.data.desk import Desk, is_desk, read_desk
from memagent_bench.data.files import read_histories
from memagent_bench.data.items import Asked, History, find_all
from memagent_bench.measures.answers.scoring import (
    Evidence,
    LongAnswer,
    Question,
    Rules,
    ShortAnswer,
)

__all__ = ["Corpus", "read_corpora", "sampled"]

# One question of another article for so many questions of an article.
_ANSWERABLE_PER_UNANSWERABLE = 4
# Questions per store below which fewer stores are filled.
_PER_STORE = 8
_LONG = ("qmsum",)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Corpus:
    """What one store holds, and the questions asked of it; `fill` adds the text to an empty one."""

    name: str
    fill: Callable[[Memory], None]
    questions: tuple[Question, ...]


def read_corpora(path: Path) -> tuple[str, list[Corpus]]:
    """Name and stores of a data set.

    Raises InputError for an unknown format, or a set whose questions have no answers.
    """
    if is_desk(path):
        desk = read_desk(path)
        return desk.name, [_of_desk(desk)]
    name, histories = read_histories(path)
    if not any(asked.answers for history in histories for asked in history.asked):
        raise InputError(
            f"{path} has no answers that can be compared: give a desk set, a file in the format of "
            "SQuAD or LoCoMo, or the archive of QMSum"
        )
    if name == "squad":
        histories = _with_unanswerable(histories)
    return name, [_of_history(name, number, each) for number, each in enumerate(histories)]


def sampled(corpora: Sequence[Corpus], limit: int | None) -> list[Corpus]:
    """The corpora with at most `limit` questions in all, evenly spaced, from a few of the stores.

    The share of unanswerable questions stays the same.
    """
    total = sum(len(corpus.questions) for corpus in corpora)
    if limit is None or limit >= total:
        return list(corpora)
    kept = _spread(corpora, -(-limit // _PER_STORE))
    asked = [(corpus.name, question) for corpus in kept for question in corpus.questions]
    answerable = [pair for pair in asked if pair[1].gold is not None]
    unanswerable = [pair for pair in asked if pair[1].gold is None]
    refusals = round(limit * len(unanswerable) / len(asked))
    chosen = {
        (name, question.id)
        for name, question in (
            *_spread(answerable, limit - refusals),
            *_spread(unanswerable, refusals),
        )
    }
    return [
        replace(
            corpus, questions=tuple(q for q in corpus.questions if (corpus.name, q.id) in chosen)
        )
        for corpus in kept
    ]


def _spread(items: Sequence[T], count: int) -> list[T]:
    """`count` of the items, evenly spaced; all if there are fewer."""
    if count >= len(items):
        return list(items)
    return [items[number * len(items) // count] for number in range(count)]


def _of_desk(desk: Desk) -> Corpus:
    def fill(memory: Memory) -> None:
        spans, sources = memory.namespace.spans, memory.namespace.sources
        for turn in desk.turns:
            session = sources.session(turn["session"])
            spans.append_turn(session.id, "user", turn["text"], time=turn.get("time"))
        for name, file in desk.documents:
            memory.add(file, name=name)

    return Corpus(desk.name, fill, tuple(map(_desk_question, desk.questions)))


def _desk_question(row: Mapping[str, Any]) -> Question:
    evidence = tuple(
        Evidence(each["document"], (each["phrase"],)) for each in row.get("evidence", ())
    )
    gold = None if row.get("unanswerable") else Rules(row["kind"], row)
    return Question(row["id"], row["kind"], row["question"], gold, evidence, as_of=row.get("as_of"))


def _of_history(name: str, number: int, history: History) -> Corpus:
    sessions = any(turn.time for turn in history.turns)

    def fill(memory: Memory) -> None:
        if not sessions:
            text = "".join(turn.said + "\n\n" for turn in history.turns)
            memory.add(text=text, name=f"{history.name}.txt")
            return
        spans, sources = memory.namespace.spans, memory.namespace.sources
        for turn in history.turns:
            session = sources.session(_session_name(history, turn.session))
            spans.append_turn(session.id, "user", turn.said, time=turn.time)

    corpus = f"{name}-{number + 1}"
    questions = [
        Question(
            f"{corpus}-{place}",
            asked.category,
            asked.question,
            LongAnswer(asked.answers) if name in _LONG else ShortAnswer(asked.answers),
            () if name in _LONG else _evidence(history, asked, sessions),
        )
        for place, asked in enumerate(history.asked, start=1)
        if asked.answers
    ]
    refusals = [
        Question(f"{corpus}-u{place}", "unanswerable", text, None)
        for place, text in enumerate(history.unanswerable, start=1)
    ]
    return Corpus(corpus, fill, (*questions, *refusals))


def _evidence(history: History, asked: Asked, sessions: bool) -> tuple[Evidence, ...]:
    """The turns of a conversation; the answers in a document."""
    if not sessions:
        return (Evidence(f"{history.name}.txt", asked.answers),)
    turns = (history.turns[number] for number in asked.gold)
    return tuple(
        Evidence(_session_name(history, turn.session), (turn.said,), partly=True) for turn in turns
    )


def _session_name(history: History, session: int) -> str:
    return f"{history.name}-{session + 1}"


def _with_unanswerable(histories: Sequence[History]) -> list[History]:
    """Each history with questions of the next one whose answers it does not hold."""
    following = [*histories[1:], *histories[:1]] if len(histories) > 1 else [None]
    return [
        history if other is None else replace(history, unanswerable=_foreign(history, other))
        for history, other in zip(histories, following, strict=True)
    ]


def _foreign(history: History, other: History) -> tuple[str, ...]:
    text = "\n".join(turn.text for turn in history.turns)
    foreign = [
        asked.question
        for asked in other.asked
        if not any(find_all(text, answer) for answer in asked.answers)
    ]
    return tuple(_spread(foreign, len(history.asked) // _ANSWERABLE_PER_UNANSWERABLE))
