"""Loading a model and its tokenizer, from a folder or by a name that Transformers knows."""

from __future__ import annotations

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
from transformers.utils import logging

from memagent.errors import EngineError

__all__ = ["load_model"]

_FAILURES = (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError)


def load_model(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """bfloat16 on a GPU where there is one, else float32 on the CPU.

    EngineError in one line where there is no model or it cannot be loaded.
    """
    place = _place(name)
    quiet: Any = logging
    quiet.disable_progress_bar()
    quiet.set_verbosity_error()
    hub: Any = hub_logging
    hub.set_verbosity_error()
    gpu = torch.cuda.is_available()
    dtype = torch.bfloat16 if gpu else torch.float32
    try:
        tokenizer = AutoTokenizer.from_pretrained(place)
        model: Any = AutoModelForCausalLM.from_pretrained(place, dtype=dtype)
    except _FAILURES as error:
        why = str(error).strip().split("\n")[0]
        raise EngineError(f"the model {name!r} cannot be loaded: {why}") from error
    found: PreTrainedModel = model.to("cuda" if gpu else "cpu").train(False)
    return found, tokenizer


def _place(model: str) -> str:
    """What Transformers is to load: a folder, or a name; EngineError where no model lies."""
    folder = Path(model).expanduser()
    if (folder / "config.json").is_file():
        return str(folder)
    if folder.exists() or folder.is_absolute() or model.startswith("."):
        raise EngineError(f"the model {model!r} cannot be loaded: no config.json lies there")
    return model
