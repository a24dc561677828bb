"""From books to tokens: read the archives, train the tokenizer, encode the corpus once.

Text is kept verbatim, including hard line wraps. Knows nothing of models or of sampling from the
corpus.
"""

from __future__ import annotations

import json
import lzma
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from memagent_bench.training.settings import Data

__all__ = ["BOS", "EOS", "LANDMARK", "encode_books", "make_tokenizer", "read_books", "wrap"]

BOS, EOS = "<|bos|>", "<|eos|>"
LANDMARK = "<|landmark|>"

Tokens = NDArray[np.uint16]


def read_books(folder: Path, pattern: str, chars: int = 0) -> Iterator[str]:
    """Texts of the `{title, text}` lines in matching archives, cut to `chars` (0: no limit)."""
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise SystemExit(f"no {pattern} in {folder}")
    for path in paths:
        with lzma.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                text: str = json.loads(line)["text"]
                yield text[:chars] if chars else text


def make_tokenizer(
    path: Path, books: Path, data: Data, special: list[str], start: Path | None = None
) -> Tokenizer:
    """The byte-level BPE tokenizer at `path`, created if it does not exist.

    With a folder `start`, it is the tokenizer of that folder with missing tokens of `special`
    appended; otherwise it is trained on the books, with `special` first.
    """
    if path.exists():
        return Tokenizer.from_file(str(path))
    if start is None:
        tokenizer = _train_tokenizer(books, data, special)
    else:
        tokenizer = Tokenizer.from_file(str(start / "tokenizer.json"))
        tokenizer.add_special_tokens(special)
    unfinished = path.with_suffix(".partial")
    tokenizer.save(str(unfinished))
    unfinished.replace(path)
    return tokenizer


def _train_tokenizer(books: Path, data: Data, special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    # One token per digit, so that a number is recalled digit by digit and not by rare tokens.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=data.vocab_size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = read_books(books, "train-*.jsonl.xz", data.tokenizer_chars_per_book)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def encode_books(path: Path, tokenizer: Tokenizer, books: Path, chars: int) -> Tokens:
    """The training books as one memory-mapped array with EOS after each, cached at `path`."""
    if not path.exists():
        end = tokenizer.token_to_id(EOS)
        parts = [
            np.array([*tokenizer.encode(text).ids, end], dtype=np.uint16)
            for text in read_books(books, "train-*.jsonl.xz", chars)
        ]
        unfinished = path.with_suffix(".partial")
        with unfinished.open("wb") as file:
            np.save(file, np.concatenate(parts))
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    tokens: Tokens = np.load(path, mmap_mode="r")
    return tokens


def wrap(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """The tokenizer in the class that `AutoTokenizer` loads, without a length limit.

    The id of a landmark is its `landmark_token_id`.
    """
    known = tokenizer.token_to_id(LANDMARK) is not None
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=EOS,
        clean_up_tokenization_spaces=False,
        extra_special_tokens={"landmark_token": LANDMARK} if known else {},
    )
