"""Character ranges of tokens derived from the vocabulary, against the tokenizers' own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memagent.models.bundled import pocket_lm
from memagent.scorers.offsets import ranges

TEXTS = [
    "",
    "x",
    "The harbour master keeps the spare key. " * 20,
    "Die Größe der Bäume, sagte sie;\n\n\tdas „Gedächtnis“ verliert\u00a0nichts.",
    "記憶は消えない。🛶👩‍👩‍👧 e\u0301 \ufffd",
    "def f(x):\r\n\treturn x ** 2  # é\n",
    " \n  leading and trailing \t\n",
    "\x00\ufeff██",
    "<|bos|> is written out, so is Ġ and ▁ and <0x0A>",
]


@cache
def alphabetic() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(pocket_lm()).backend_tokenizer


def pieces(*, added_space: bool, normalizer: Any = None) -> Any:
    """A vocabulary of pieces, with a byte each for what it does not know."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    scheme = "always" if added_space else "never"
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    alphabet = [chr(code) for code in range(0x20, 0x7F) if chr(code) != " "]
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<unk>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([TEXTS[2], "spare keys and harbours"], trainer)
    data = json.loads(tokenizer.to_str())
    known = data["model"]["vocab"]
    known |= {f"<0x{byte:02X}>": len(known) + byte for byte in range(256)}
    return Tokenizer.from_str(json.dumps(data))


def own(tokenizer: Any, text: str) -> tuple[Sequence[str], np.ndarray]:
    read = tokenizer.encode(text, add_special_tokens=False)
    return read.tokens, np.array(read.offsets, dtype=np.int64).reshape(-1, 2)


@pytest.mark.parametrize("text", TEXTS)
def test_ranges_are_those_of_a_tokenizer_of_bytes(text: str) -> None:
    written, offsets = own(alphabetic(), text)
    np.testing.assert_array_equal(ranges(text, written), offsets)


@given(st.text())
def test_ranges_are_those_of_a_tokenizer_of_bytes_for_any_text(text: str) -> None:
    written, offsets = own(alphabetic(), text)
    np.testing.assert_array_equal(ranges(text, written), offsets)


@pytest.mark.parametrize("text", TEXTS)
def test_ranges_are_those_of_a_tokenizer_of_pieces(text: str) -> None:
    written, offsets = own(pieces(added_space=False), text)
    np.testing.assert_array_equal(ranges(text, written), offsets)


def test_a_space_that_is_not_in_the_text_has_an_empty_range() -> None:
    assert ranges("no", ["▁", "n", "o"]).tolist() == [[0, 0], [0, 1], [1, 2]]
    assert ranges("no", ["▁n", "o"]).tolist() == [[0, 1], [1, 2]]


def test_tokens_of_what_was_changed_share_its_range() -> None:
    text = "The cafe\u0301 on the far side of the harbour"
    found = ranges(text, ["The", "▁caf", "<0xC3>", "<0xA9>", "▁on▁the▁far▁side▁of▁the▁harbour"])
    assert found.tolist() == [[0, 3], [3, 7], [7, 9], [7, 9], [9, len(text)]]


@pytest.mark.parametrize("text", TEXTS)
def test_ranges_hold_those_of_a_tokenizer_that_changes_the_text(text: str) -> None:
    from tokenizers import normalizers

    changing = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    written, offsets = own(pieces(added_space=False, normalizer=changing), text)
    found = ranges(text, written)
    assert found.shape == offsets.shape
    assert (np.diff(found, axis=0) >= 0).all()
    assert (found[:, 0] <= offsets[:, 0]).all()
    assert (found[:, 1] >= offsets[:, 1]).all()


def test_tokens_that_have_nothing_to_do_with_the_text_share_all_of_it() -> None:
    assert ranges("abc", ["x" * 90, "y" * 90]).tolist() == [[0, 3], [0, 3]]
    assert ranges("", ["x"]).tolist() == [[0, 0]]
