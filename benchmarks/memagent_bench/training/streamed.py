"""Find passkeys in texts far longer than the context, through a stream with landmarks.

    python -m memagent_bench.training.streamed --report OUT/report.json
        --model OUT/export --books BOOKS

adds the figures to the report. Knows nothing of how the model was trained.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from memagent.streaming.stream import Stream
from memagent_bench.stream.passkey import said
from memagent_bench.stream.setup import Subject
from memagent_bench.training.data import read_books
from memagent_bench.training.evaluate import passkey_rows
from memagent_bench.training.sequences import KEY_ASK

__all__ = ["streamed_passkeys"]

log = logging.getLogger("streamed")

WINDOWS = (4, 16, 64)
SHORTER = (0, 16, 32, 48)  # tokens


def streamed_passkeys(
    model: Any, tokenizer: Any, texts: Sequence[str], length: int, count: int
) -> dict[str, Any]:
    """Share of keys at `count` even depths of `length` tokens that greedy decoding returns.

    In each step all heads of a layer read as many blocks as the context holds, including their own.
    The question is read separately, like a turn. Each text is also asked about a few tokens
    shorter, because the answer may cross the end of a block.
    """
    context = model.config.max_position_embeddings
    config = Subject(model, tokenizer, context).config("landmark")
    asked = len(tokenizer.encode("\n" + KEY_ASK.format(name="pass key")))
    found, blocks = {}, 0
    for shorter in SHORTER:
        ids = passkey_rows(tokenizer.backend_tokenizer, texts, length - shorter, count)
        stream = Stream(model, config, rows=count)
        stream.read(torch.from_numpy(ids[:, : -asked - 6]))
        stream.read(torch.from_numpy(ids[:, -asked - 6 : -6]))
        answers, read = said(stream, 6)  # a space and five digits
        found[length - shorter] = (answers.numpy() == ids[:, -6:]).all(1).tolist()
        blocks = max(blocks, read)
    return {
        "tokens": length,
        "windows": length / context,
        "keys": count * len(SHORTER),
        "found": float(np.mean(list(found.values()))),
        "found_by_length_and_depth": found,
        "blocks": blocks,
    }


def main() -> None:
    """Read the arguments, measure, update the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("report", "model", "books"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--count", type=int, default=10)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    report = json.loads(args.report.read_text())
    model = transformers.LlamaForCausalLM.from_pretrained(args.model, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.model)
    texts = ["\n\n".join(read_books(args.books, "val.jsonl.xz"))]
    found = []
    for windows in WINDOWS:
        length = windows * model.config.max_position_embeddings
        found.append(streamed_passkeys(model, tokenizer, texts, length, args.count))
        log.info("%s", json.dumps(found[-1]))
    report["streamed_passkeys"] = found
    args.report.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
