"""Loading a model and its tokenizer from a folder or by a Hugging Face name."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.utils import logging as hub_logging
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from memagent.errors import EngineError

__all__ = ["load_model"]

logger = logging.getLogger(__name__)

# Smaller models are loaded before a message could be read.
_ANNOUNCED_BYTES = 64 * 10**6
_FAILURES = (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError)


def load_model(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model in bfloat16 on a GPU if there is one, else in float32 on the CPU.

    Raises EngineError, with one line, if there is no such model or it cannot be loaded.
    """
    source = _source(name)
    quiet: Any = transformers_logging
    quiet.disable_progress_bar()
    quiet.set_verbosity_error()
    hub: Any = hub_logging
    hub.set_verbosity_error()
    if (size := _weights(source)) >= _ANNOUNCED_BYTES:
        logger.info("loading %s (%s MB)", Path(source).name, f"{size // 10**6:,}")
    gpu = torch.cuda.is_available()
    dtype = torch.bfloat16 if gpu else torch.float32
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=dtype)
    except _FAILURES as error:
        why = str(error).strip().split("\n")[0]
        raise EngineError(f"the model {name!r} cannot be loaded: {why}") from error
    found: PreTrainedModel = model.to("cuda" if gpu else "cpu").train(False)
    return found, tokenizer


def _source(model: str) -> str:
    """The folder or name to load; EngineError for a folder without a model."""
    folder = Path(model).expanduser()
    if (folder / "config.json").is_file():
        return str(folder)
    if folder.is_file():
        raise EngineError(
            f"the model {model!r} cannot be loaded: it is a file, not a folder; "
            "`memagent model get FILE.gguf` converts a GGUF file"
        )
    if folder.exists() or folder.is_absolute() or model.startswith("."):
        raise EngineError(
            f"the model {model!r} cannot be loaded: it has no config.json; name the folder of a "
            "Transformers model, or one of `memagent model list`"
        )
    return model


def _weights(source: str) -> int:
    """Bytes of the weights in a folder; 0 for a name on the hub."""
    return sum(path.stat().st_size for path in Path(source).glob("*.safetensors"))
