"""Small random models of each family, with weights large enough that attention is not flat."""

from typing import Any

import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GemmaConfig,
    GemmaForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

VOCABULARY = 100
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
# Name: configuration, model, what differs from a Llama of four heads that share two.
FAMILIES: dict[str, tuple[type, type, dict[str, Any]]] = {
    "llama": (LlamaConfig, LlamaForCausalLM, {}),
    "llama tied": (LlamaConfig, LlamaForCausalLM, {"tie_word_embeddings": True}),
    "llama multi-head": (LlamaConfig, LlamaForCausalLM, {"num_key_value_heads": 4}),
    "llama multi-query": (LlamaConfig, LlamaForCausalLM, {"num_key_value_heads": 1}),
    "llama yarn": (LlamaConfig, LlamaForCausalLM, {"rope_parameters": YARN}),
    "llama3": (LlamaConfig, LlamaForCausalLM, {"rope_parameters": LLAMA3}),
    "mistral": (MistralConfig, MistralForCausalLM, {"sliding_window": None}),
    "mistral sliding": (MistralConfig, MistralForCausalLM, {"sliding_window": 24}),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, {}),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, {"head_dim": 16}),
    "gemma": (GemmaConfig, GemmaForCausalLM, {"head_dim": 16}),
    "gemma2": (Gemma2Config, Gemma2ForCausalLM, {"head_dim": 16, "sliding_window": 24}),
    "gemma3": (
        Gemma3TextConfig,
        Gemma3ForCausalLM,
        {"head_dim": 16, "sliding_window": 24, "num_hidden_layers": 6},
    ),
    "phi3 partial rotary": (Phi3Config, Phi3ForCausalLM, {"partial_rotary_factor": 0.5}),
}


def make(name: str = "llama", seed: int = 0, **changes: Any) -> PreTrainedModel:
    """A model of a family; the same weights for the same seed."""
    configuration, model, special = FAMILIES[name]
    options: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
        **special,
        **changes,
    }
    if "rope_parameters" in options:
        options["rope_parameters"] = {"rope_theta": 10000.0, **options["rope_parameters"]}
    torch.manual_seed(seed)
    made = model(configuration(**options)).train(False)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)
    return made


def tokens(count: int, rows: int = 1, seed: int = 1) -> torch.Tensor:
    """Random tokens [rows, count], none of them special."""
    source = torch.Generator().manual_seed(seed)
    return torch.randint(2, VOCABULARY, (rows, count), generator=source)
