"""What the model is shown: plain text, repeated passages, pass keys and key-value lists.

A batch is a function of the seed and the step alone, so a resumed run draws what an unbroken one
would. Knows nothing of models, devices or where the tokens came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from data import BOS, Tokens
from numpy.random import Generator
from numpy.typing import NDArray
from settings import Phase
from tokenizers import Tokenizer

__all__ = ["KEY_ASK", "KEY_SENTENCE", "Batch", "Sampler", "hide_key"]

KEY_SENTENCE = "The {name} is {key}. Remember it. {key} is the {name}."
KEY_ASK = "What is the {name}? The {name} is"
NAMES = ("secret number", "code of the door", "number of the house", "answer", "password")
BREAKS = ("\n", "\n\n", " ")
LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))
DIGITS = np.array(list("0123456789"))

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """Token ids and the weight of the loss on each of them, both [sequence, position]."""

    ids: Ids
    weights: NDArray[np.float32]


def hide_key(
    filler: Ids, needle: Sequence[int], ending: Sequence[int], depth: float, bos: int
) -> Ids:
    """A sequence of BOS and filler with the needle at a relative depth and the ending last."""
    at = int(depth * len(filler))
    return np.array([bos, *filler[:at], *needle, *filler[at:], *ending], dtype=np.int64)


class Sampler:
    """Draws the batch of a step from the corpus."""

    def __init__(
        self, corpus: Tokens, tokenizer: Tokenizer, seed: int, answer_weight: float
    ) -> None:
        self.corpus = corpus
        self.tokenizer = tokenizer
        self.seed = seed
        self.answer_weight = answer_weight
        self.bos: int = tokenizer.token_to_id(BOS)
        self.vocab: int = tokenizer.get_vocab_size()

    def batch(self, step: int, tokens: int, phase: Phase) -> Batch:
        """The sequences of one step."""
        rng = np.random.default_rng([self.seed, step])
        kinds = rng.random(tokens // phase.context)
        rows = [self._sequence(rng, kind, phase) for kind in kinds]
        return Batch(np.stack([ids for ids, _ in rows]), np.stack([weights for _, weights in rows]))

    def _sequence(
        self, rng: Generator, kind: float, phase: Phase
    ) -> tuple[Ids, NDArray[np.float32]]:
        ids = np.concatenate(([self.bos], self._text(rng, phase.context - 1)))
        weights = np.ones(phase.context, dtype=np.float32)
        ends = np.cumsum([phase.repeat, phase.random, phase.passkey, phase.pairs])
        if kind < ends[0]:
            self._repeat(rng, ids, made_up=False)
        elif kind < ends[1]:
            self._repeat(rng, ids, made_up=True)
        elif kind < ends[2]:
            ids, weights = self._passkey(rng, phase.context)
        elif kind < ends[3]:
            ids, weights = self._pairs(rng, phase.context)
        return ids, weights

    def _text(self, rng: Generator, length: int) -> Ids:
        start = rng.integers(len(self.corpus) - length)
        return self.corpus[start : start + length].astype(np.int64)

    def _repeat(self, rng: Generator, ids: Ids, *, made_up: bool) -> None:
        """Copy passages of 24 to 160 tokens to random later places, in place."""
        size = len(ids)
        for _ in range(rng.integers(1, 4)):
            length = int(rng.integers(min(24, size // 5), min(160, size // 3) + 1))
            source = int(rng.integers(1, size - 2 * length + 1))
            target = int(rng.integers(source + length, size - length + 1))
            if made_up:
                ids[source : source + length] = rng.integers(2, self.vocab, length)
            ids[target : target + length] = ids[source : source + length]

    def _passkey(self, rng: Generator, size: int) -> tuple[Ids, NDArray[np.float32]]:
        # Half of the keys bear another name, so that the model reads the name as well.
        name = "pass key" if rng.random() < 0.5 else NAMES[rng.integers(len(NAMES))]
        key = "".join(rng.choice(DIGITS, 5 if rng.random() < 0.7 else rng.integers(3, 8)))
        before, after, last = (BREAKS[i] for i in rng.integers(len(BREAKS), size=3))
        needle = self._encode(before + KEY_SENTENCE.format(name=name, key=key) + after)
        ask = self._encode(last + KEY_ASK.format(name=name))
        answer = self._encode(f" {key}.")
        room = size - 1 - len(needle) - len(ask) - len(answer)
        ids = hide_key(
            self._text(rng, max(room, 0)), needle, [*ask, *answer], rng.random(), self.bos
        )[:size]
        return ids, self._weigh(size, [(size - len(answer), size)])

    def _pairs(self, rng: Generator, size: int) -> tuple[Ids, NDArray[np.float32]]:
        """Text, a list of `key: value` lines, text, and questions about some of the keys."""
        count = int(rng.integers(3, max(4, size // 28)))
        keys = ["".join(rng.choice(LETTERS, 4)) for _ in range(count)]
        values = ["".join(rng.choice(DIGITS, 4)) for _ in range(count)]
        listed = self._encode("\n".join(["", *map("{}: {}".format, keys, values), ""]))
        asked: list[int] = []
        spans: list[tuple[int, int]] = []
        for index in rng.permutation(count)[: max(1, size // 64)]:
            asked += self._encode(f"\nWhat is {keys[index]}? It is")
            answer = self._encode(f" {values[index]}.")
            spans.append((len(asked), len(asked) + len(answer)))
            asked += answer
        room = max(size - 1 - len(listed) - len(asked), 0)
        ids = hide_key(self._text(rng, room), listed, asked, rng.random(), self.bos)
        before = len(ids) - len(asked)
        weights = self._weigh(len(ids), [(before + a, before + b) for a, b in spans])
        return ids[:size], weights[:size]

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text).ids
        return ids

    def _weigh(self, size: int, spans: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
        weights = np.ones(size, dtype=np.float32)
        for start, end in spans:
            weights[start:end] = self.answer_weight
        return weights
