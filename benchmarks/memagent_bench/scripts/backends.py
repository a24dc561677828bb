"""Compare runtimes for the two bundled models: speed, and error relative to float32.

A one-off experiment that needs onnx, onnxruntime, onnxscript and openvino, which are not
dependencies of the project. Every runtime gets the same batches: events of a book sorted by length
for the embedder, and windows of a book for the language model, including its surprise.
"""

import argparse
import json
import lzma
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import openvino
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from memagent.documents.split import chunks
from memagent.memory.index.embedder import Embedder
from memagent.memory.segmentation.sentences import Sentences
from memagent.models.bundled import pocket_lm
from memagent_bench.report import RESULTS, CheckError, Report, save, sha256_of

Arrays = list[np.ndarray]
Runner = Callable[[Arrays], np.ndarray]

BATCH = 32  # events, as in memory/index/embedder.py
WINDOWS, WIDTH = 8, 512  # as in memagent/scorers/local.py
_EXACT = {"torch float32", "onnxruntime float32", "openvino float32"}
_TOLERATED = 1e-3


class Sentence(nn.Module):
    """The embedder up to the unit vector of a text."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.model = AutoModel.from_pretrained(folder, attn_implementation="sdpa").eval()

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask[..., None].to(states.dtype)
        pooled = (states * weights).sum(1) / weights.sum(1)
        return nn.functional.normalize(pooled.float(), dim=-1)


class Nats(nn.Module):
    """The language model up to the surprise of each token but the first."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="sdpa"
        ).eval()

    def forward(self, ids: Tensor) -> Tensor:
        states = self.model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
        logits = self.model.lm_head(states).float()
        return torch.logsumexp(logits, -1) - logits.gather(2, ids[:, 1:, None])[..., 0]


def in_torch(module: nn.Module, autocast: bool = False) -> Runner:
    """Run the module in this process."""

    def run(arrays: Arrays) -> np.ndarray:
        given = [torch.from_numpy(array) for array in arrays]
        with (
            torch.inference_mode(),
            torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast),
        ):
            return module(*given).numpy()

    return run


def quantised(module: nn.Module) -> Runner:
    """Linear layers in int8, with dynamically quantized activations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecation: will move to another package
        return in_torch(
            torch.ao.quantization.quantize_dynamic(module, {nn.Linear}, dtype=torch.qint8)
        )


def in_onnxruntime(path: Path, threads: int) -> Runner:
    """Run a graph in ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    return lambda arrays: session.run(None, dict(zip(names, arrays, strict=True)))[0]


def in_openvino(path: Path, threads: int, precision: str) -> Runner:
    """Run a graph in OpenVINO with the named precision."""
    compiled = openvino.Core().compile_model(
        path, "CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision}
    )
    return lambda arrays: np.array(compiled(arrays)[0])


def export(module: nn.Module, batch: Arrays, path: Path, lengths: bool) -> Path:
    """Export the module as an ONNX graph; `lengths` allows any number and length of texts."""
    given = tuple(torch.from_numpy(array) for array in batch)
    sizes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    shapes = tuple(sizes for _ in given) if lengths else None
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, given, path, dynamo=True, dynamic_shapes=shapes, external_data=False,
            verbose=False,
        )  # fmt: skip
    return path


def runners(
    module: nn.Module, batch: Arrays, folder: Path, threads: int, lengths: bool
) -> Iterator[tuple[str, Runner]]:
    """Every runtime with its name, float32 in torch first."""
    yield "torch float32", in_torch(module)
    yield "torch bfloat16 autocast", in_torch(module, autocast=True)
    yield "torch int8 dynamic", quantised(module)
    plain = export(module, batch, folder / "float32.onnx", lengths)
    small = folder / "int8.onnx"
    quantize_dynamic(plain, small, weight_type=QuantType.QInt8)
    yield "onnxruntime float32", in_onnxruntime(plain, threads)
    yield "onnxruntime int8 dynamic", in_onnxruntime(small, threads)
    yield "openvino float32", in_openvino(plain, threads, "f32")
    yield "openvino bfloat16", in_openvino(plain, threads, "bf16")


def event_batches(texts: list[str], folder: Path) -> list[Arrays]:
    """Events as token ids and masks [n, T], grouped by similar length."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ordered = sorted(texts, key=len, reverse=True)
    found = []
    for first in range(0, len(ordered), BATCH):
        part = ordered[first : first + BATCH]
        read = tokenizer(part, padding=True, truncation=True, max_length=256, return_tensors="np")
        found.append([read["input_ids"], read["attention_mask"]])
    return found


def window_batches(text: str, count: int) -> list[Arrays]:
    """Windows of token ids [8, 513], starting with the opening token."""
    tokenizer = AutoTokenizer.from_pretrained(pocket_lm())
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    rows = np.array(ids[: count * WIDTH]).reshape(-1, WIDTH)
    opened = np.insert(rows, 0, tokenizer.bos_token_id, axis=1)[:, : WIDTH + 1]
    return [[opened[first : first + WINDOWS]] for first in range(0, count, WINDOWS)]


def measured(run: Runner, batches: list[Arrays], runs: int) -> tuple[np.ndarray, float, float]:
    """The output of a runtime for all batches, and the wall and CPU seconds of its best run."""
    walls, processor = [], []
    found: list[np.ndarray] = []
    for _ in range(runs + 1):  # the first is a warm-up
        start, used = time.perf_counter(), time.process_time()
        found = [run(batch) for batch in batches]
        walls.append(time.perf_counter() - start)
        processor.append(time.process_time() - used)
    return np.concatenate(found), min(walls[1:]), min(processor[1:])


def rows(
    name: str, module: nn.Module, batches: list[Arrays], threads: int, runs: int
) -> list[dict[str, Any]]:
    """One row per runtime."""
    texts = sum(len(batch[0]) for batch in batches)
    tokens = sum(int(batch[-1].sum()) if len(batch) == 2 else batch[0].size for batch in batches)
    rows: list[dict[str, Any]] = []
    exact: np.ndarray | None = None
    with tempfile.TemporaryDirectory() as folder:
        made = runners(module, batches[0], Path(folder), threads, lengths=len(batches[0]) == 2)
        for backend, run in made:
            found, seconds, processor = measured(run, batches, runs)
            exact = found if exact is None else exact
            off = 1 - (found * exact).sum(-1) if len(batches[0]) == 2 else np.abs(found - exact)
            if backend in _EXACT and off.mean() > _TOLERATED:
                raise CheckError(f"{name} in {backend} is off by {off.mean():.3g}")
            rows.append(
                {
                    "measure": name,
                    "backend": backend,
                    "texts_per_s": round(texts / seconds, 1),
                    "tokens_per_s": round(tokens / seconds),
                    "tokens_per_processor_s": round(tokens / processor),
                    "mean_error": round(float(off.mean()), 6),
                    "largest_error": round(float(off.max()), 6),
                }
            )
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure both models and write backends.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="JSON Lines of title and text")
    parser.add_argument("--texts", type=int, default=512, help="events for the embedder")
    parser.add_argument("--windows", type=int, default=48, help="for the language model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3, help="number of runs; the best one counts")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with lzma.open(given.data, "rt", encoding="utf-8") as file:
        text: str = json.loads(file.readline())["text"]
    cut = Sentences()
    events = [piece[a:b] for piece in chunks([text]) for a, b in cut.cut(piece)][: given.texts]
    folder = Embedder().folder
    found = rows(
        "embedder", Sentence(folder), event_batches(events, folder), given.threads, given.runs
    )
    found += rows(
        "pocket_lm",
        Nats(pocket_lm()),
        window_batches(text, given.windows),
        given.threads,
        given.runs,
    )
    metrics = {
        f"{row['measure']}_{name}@{row['backend'].replace(' ', '_')}": row[name]
        for row in found
        for name in ("tokens_per_s", "tokens_per_processor_s")
    }
    about = {"file": given.data.name, "sha256": sha256_of(given.data)}
    notes = (
        f"threads: {given.threads}; onnxruntime {version('onnxruntime')}, openvino "
        f"{version('openvino')}",
        f"embedder: batches of {BATCH} events, 1 - cosine to float32; pocket_lm: batches of "
        f"{WINDOWS} windows of {WIDTH} tokens, nats off float32",
        f"the best of {given.runs} runs after a warm-up",
        "processor seconds are summed over threads and exclude waiting for other programs",
    )
    print(save(Report("backends", about, metrics, found, notes).as_object(), given.out))


if __name__ == "__main__":
    main()
