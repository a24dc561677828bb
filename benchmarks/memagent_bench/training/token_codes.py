"""Learn the codes that store the vectors of single tokens in a few bytes, from passages of books.

    python -m memagent_bench.training.token_codes --books BOOKS
        --out memory/index/token_codes.safetensors

Logs how much of a vector the codes keep, on passages that were not used to learn them.
"""

from __future__ import annotations

import argparse
import logging
import random
from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np
from safetensors.numpy import save_file

from memagent.engines.pocket.windows import load_tokenizer
from memagent.memory.index.embedder import Embedder
from memagent.memory.index.token_codes import TokenCodes
from memagent.memory.recall.lexical import is_content
from memagent.memory.segmentation.sentences import Sentences
from memagent_bench.training.data import read_books

log = logging.getLogger("token codes")

SHORT, PARTS = 64, 8
PASSAGES = 6000
A_BOOK = 24
CHARS = 2500
SEED = 1


def passages(books: Path) -> list[str]:
    """Events of random parts of the books, shuffled."""
    source = random.Random(SEED)
    found: list[str] = []
    for text in read_books(books, "train-*.jsonl.xz"):
        for _ in range(A_BOOK):
            start = source.randrange(max(1, len(text) - CHARS))
            part = text[start : start + CHARS]
            found.extend(part[a:b] for a, b in Sentences(16, 64).cut(part)[1:2])
    source.shuffle(found)
    return found[:PASSAGES]


def tokens_of(texts: Sequence[str], embedder: Embedder, content: np.ndarray) -> np.ndarray:
    """The vectors of all content tokens, float32 [n, dim]."""
    parts = [embedder.read(texts[at : at + 256]) for at in range(0, len(texts), 256)]
    return np.concatenate([one.tokens[content[one.ids]] for part in parts for one in part])


def main() -> None:
    """Read, learn, write, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--books", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    embedder = Embedder()
    tokenizer = load_tokenizer(embedder)
    words = [tokenizer.id_to_token(number) for number in range(tokenizer.get_vocab_size())]
    content = np.array([is_content(word) for word in words])
    texts = passages(args.books)
    held_out = len(texts) // 10
    vectors = tokens_of(texts[held_out:], embedder, content)
    mean = vectors.mean(0)
    centred = np.ascontiguousarray(vectors - mean)
    rotation = faiss.OPQMatrix(embedder.dim, PARTS, SHORT)
    rotation.train(centred)
    projected = rotation.apply(centred)
    projected /= np.linalg.norm(projected, axis=1, keepdims=True)
    quantizer = faiss.ProductQuantizer(SHORT, PARTS, 8)
    quantizer.train(projected)
    matrix = faiss.vector_to_array(rotation.A).reshape(SHORT, embedder.dim).T
    centres = faiss.vector_to_array(quantizer.centroids).reshape(PARTS, 256, SHORT // PARTS)
    tensors = {"mean": mean, "rotation": matrix, "centres": centres}
    halves = {name: np.ascontiguousarray(t, dtype=np.float16) for name, t in tensors.items()}
    halves["content"] = content.astype(np.uint8)
    save_file(halves, args.out, {"embedder": embedder.id})
    args.out.chmod(0o644)
    report(embedder, texts[:held_out], args.out)


def report(embedder: Embedder, texts: Sequence[str], path: Path) -> None:
    """Log the mean cosine between a token's short vector and its decoded code."""
    codes = TokenCodes.load(embedder.id, path)
    assert codes is not None
    tokens = tokens_of(texts, embedder, codes.content)
    every = np.zeros(len(tokens), dtype=np.int64) + int(codes.content.argmax())
    short = codes.project(every, tokens)
    packed = [codes.pack(every[:1], token[None]) for token in tokens]
    kept = np.diagonal(codes.max_similarity(short[:2000], packed[:2000])).mean()
    log.info("%d tokens of %d passages: mean cosine %.3f", len(tokens), len(texts), kept)


if __name__ == "__main__":
    main()
