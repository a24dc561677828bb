"""The training sequences: plain text, repeated passages, passkeys and key-value lists.

A batch depends only on the seed and the step, so a resumed run draws the same batches as an
uninterrupted one. In a share of the sequences a landmark ends each block. Knows nothing of models,
devices or the source of the tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from tokenizers import Tokenizer

from memagent_bench.training.blocks import BLOCK, close_blocks, places, room
from memagent_bench.training.data import BOS, EOS, LANDMARK, Tokens
from memagent_bench.training.settings import Phase

__all__ = ["KEY_ASK", "KEY_SENTENCE", "Batch", "Sampler", "hide_key"]

KEY_SENTENCE = "The {name} is {key}. Remember it. {key} is the {name}."
KEY_ASK = "What is the {name}? The {name} is"
NAMES = ("secret number", "code of the door", "number of the house", "answer", "password")
PLACES = (
    "mill", "garden", "harbour", "tower", "library", "chapel", "kitchen", "stable", "cellar",
    "bridge", "school", "market",
)  # fmt: skip
BREAKS = ("\n", "\n\n", " ")
LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))
DIGITS = np.array(list("0123456789"))

Ids = NDArray[np.int64]
Weights = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Batch:
    """Token ids, the weight of the loss on each, and their positions, all [sequence, position].

    With `landmark` a landmark ends every block, and attention is the grouped softmax. `far`
    [sequence, block], if given, is how far a block moves when it is recalled. `wanted`
    [sequence, position, 2] holds the first and last block of the key that a token asks for, -1 for
    none.
    """

    ids: Ids
    weights: Weights
    positions: Ids
    landmark: bool = False
    far: Ids | None = None
    wanted: Ids | None = None

    @property
    def text(self) -> Ids:
        """The slots of text, each of which predicts the next one."""
        count = self.ids.shape[1]
        return places(count - count // BLOCK) if self.landmark else np.arange(count)


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
        self.landmark: int | None = tokenizer.token_to_id(LANDMARK)
        special = [self.bos, tokenizer.token_to_id(EOS), self.landmark]
        self.words = np.setdiff1d(np.arange(tokenizer.get_vocab_size()), special[: 2 + self.marks])

    @property
    def marks(self) -> bool:
        """Whether the tokenizer has landmarks."""
        return self.landmark is not None

    def batches(self, step: int, tokens: int, phase: Phase) -> list[Batch]:
        """The sequences of one step: plain ones, and ones with landmarks."""
        rng = np.random.default_rng([self.seed, step])
        kinds = rng.random(tokens // phase.context)
        marked = round(len(kinds) * phase.landmark)
        lone = replace(phase, keys=1, tail=0, cut=0.0)
        plain = [self._sequence(rng, kind, lone, phase.context) for kind in kinds[marked:]]
        found = []
        if plain:
            ids, weights, _ = (np.stack(part) for part in zip(*plain, strict=True))
            place = np.broadcast_to(np.arange(phase.context), ids.shape)
            found.append(Batch(ids, weights, place))
        if marked:
            count = room(phase.far * phase.context)
            kinds = kinds[: marked // phase.far]
            text = [self._sequence(rng, kind, phase, count) for kind in kinds]
            found.append(self._with_landmarks(rng, text, phase))
        return found

    def _with_landmarks(
        self, rng: Generator, rows: list[tuple[Ids, Weights, Ids]], phase: Phase
    ) -> Batch:
        """The rows with landmarks, half of them without BOS, half of them with a gap in positions.

        A stream of many blocks does not see its beginning, and sees distances of one block more
        than the context when it recalls as many blocks as the context holds.
        """
        assert self.landmark is not None
        text, weights, asked = (np.stack(part) for part in zip(*rows, strict=True))
        for row in np.flatnonzero(rng.random(len(text)) < 0.5):
            text[row, 0] = self._text(rng, 1)[0]
        ids = close_blocks(text, self.landmark)
        closed = np.zeros(ids.shape, dtype=np.float32)
        closed[:, places(text.shape[1])] = weights
        blocks = ids.shape[1] // BLOCK
        if phase.far > 1:
            wanted = np.full((*ids.shape, 2), -1)
            wanted[:, places(text.shape[1])] = asked // (BLOCK - 1)
            return self._recalled(rng, ids, closed, wanted, phase.context // BLOCK)
        gap = np.where(rng.random(len(ids)) < 0.5, rng.integers(1, blocks, len(ids)), blocks)
        slot = np.arange(ids.shape[1])
        positions = slot + BLOCK * (slot // BLOCK >= gap[:, None])
        return Batch(ids, closed, positions, landmark=True)

    def _recalled(
        self, rng: Generator, ids: Ids, weights: Weights, wanted: Ids, blocks: int
    ) -> Batch:
        """A batch as a stream that recalls blocks reads it.

        Every block has the positions of the last of `blocks` blocks, or of the one after it. The
        previous block keeps its place; each of the others gets any of the places before it.
        """
        last = blocks - 1 + rng.integers(2, size=(len(ids), 1))
        places = rng.integers(0, last - 1, (len(ids), ids.shape[1] // BLOCK))
        positions = last * BLOCK + np.arange(ids.shape[1]) % BLOCK
        return Batch(ids, weights, positions, True, (places - last) * BLOCK, wanted)

    def _sequence(
        self, rng: Generator, kind: float, phase: Phase, size: int
    ) -> tuple[Ids, Weights, Ids]:
        """A sequence, its weights, and the first and last token of the key that a token asks for.

        The latter is [size, 2], -1 for none.
        """
        asked = np.full((size, 2), -1)
        ids = np.concatenate(([self.bos], self._text(rng, size - 1)))
        weights = np.ones(size, dtype=np.float32)
        ends = np.cumsum([phase.repeat, phase.random, phase.passkey, phase.pairs])
        if kind < ends[0]:
            self._repeat(rng, ids, made_up=False)
        elif kind < ends[1]:
            self._repeat(rng, ids, made_up=True)
        elif kind < ends[2]:
            ids, weights, asked = self._passkeys(rng, phase, size)
        elif kind < ends[3]:
            ids, weights = self._pairs(rng, size)
        return ids, weights, asked

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
                ids[source : source + length] = self.words[rng.integers(0, len(self.words), length)]
            ids[target : target + length] = ids[source : source + length]

    def _passkeys(self, rng: Generator, phase: Phase, size: int) -> tuple[Ids, Weights, Ids]:
        """Text with hidden keys, then a question about each, with some text in between."""
        most = max(1, min(phase.keys, size // 100))
        count = 1 if most == 1 else int(rng.integers(1, most + 1))
        needles, endings, answers = [], [], []
        taken: set[str] = set()
        for _ in range(count):
            needle, ask, answer = self._key(rng, taken)
            needles.append(needle)
            endings.append([*ask, *answer])
            answers.append(len(answer))
        order = rng.permutation(count)
        tail = int(rng.integers(phase.tail + 1)) if phase.tail else 0
        left = size - 1 - tail - sum(map(len, needles)) - sum(map(len, endings))
        parts = self._text(rng, max(left, 0))
        depths = sorted(float(rng.random()) for _ in range(count))
        ids = [self.bos]
        told: list[tuple[int, int]] = []
        done = 0
        for needle, depth in zip(needles, depths, strict=True):
            at = int(depth * len(parts))
            if phase.cut and rng.random() < phase.cut:
                at = self._cut(rng, len(ids) - done, done, at, len(needle))
            ids += [*parts[done:at], *needle]
            told.append((len(ids) - len(needle), len(ids) - 1))
            done = at
        ids += [*parts[done:]]
        spans = []
        asked = np.full((size, 2), -1)
        behind = self._text(rng, tail) if tail else parts[:0]
        ends = [*np.sort(rng.integers(tail + 1, size=count - 1)), tail]
        for index, start, end in zip(order, [0, *ends[:-1]], ends, strict=True):
            ids += endings[index]
            spans.append((len(ids) - answers[index], len(ids)))
            # From the end of the name to the last digit.
            known = len(ids) - answers[index] - (len(endings[index]) - answers[index]) // 2
            asked[known : len(ids) - 2] = told[index]
            ids += [*behind[start:end]]
        found = np.array(ids, dtype=np.int64)[:size]
        return found, self._weigh(size, spans), asked

    def _cut(self, rng: Generator, before: int, done: int, at: int, size: int) -> int:
        """A position shortly before `at` where the end of a block splits `size` tokens in two."""
        opening = BLOCK - 1 - int(rng.integers(1, size))
        return max(done, at - (before + at - opening) % (BLOCK - 1))

    def _key(self, rng: Generator, taken: set[str]) -> tuple[list[int], list[int], list[int]]:
        """A sentence with a key, the question and the answer, under a name not yet taken."""
        # Half of the keys have other names, so that the model must read the name as well.
        name = "pass key" if rng.random() < 0.5 else NAMES[rng.integers(len(NAMES))]
        while name in taken:
            name = f"{NAMES[rng.integers(len(NAMES))]} of the {PLACES[rng.integers(len(PLACES))]}"
        taken.add(name)
        key = "".join(rng.choice(DIGITS, 5 if rng.random() < 0.7 else rng.integers(3, 8)))
        before, after, last = (BREAKS[i] for i in rng.integers(len(BREAKS), size=3))
        needle = self._encode(before + KEY_SENTENCE.format(name=name, key=key) + after)
        ask = self._encode(last + KEY_ASK.format(name=name))
        return needle, ask, self._encode(f" {key}.")

    def _pairs(self, rng: Generator, size: int) -> tuple[Ids, Weights]:
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
        left = max(size - 1 - len(listed) - len(asked), 0)
        ids = hide_key(self._text(rng, left), listed, asked, rng.random(), self.bos)
        before = len(ids) - len(asked)
        weights = self._weigh(len(ids), [(before + a, before + b) for a, b in spans])
        return ids[:size], weights[:size]

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text).ids
        return ids

    def _weigh(self, size: int, spans: Sequence[tuple[int, int]]) -> Weights:
        weights = np.ones(size, dtype=np.float32)
        for start, end in spans:
            weights[start:end] = self.answer_weight
        return weights
