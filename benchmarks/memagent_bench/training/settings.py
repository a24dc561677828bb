"""The configuration of a training run: the contents of a TOML file, checked when it is read.

Knows nothing of text, tensors or other files.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Choice", "Data", "Model", "Phase", "Settings", "Train", "load_settings"]


@dataclass(frozen=True, slots=True)
class Data:
    """How much of each book the tokenizer and the model see; 0 means all of it."""

    vocab_size: int
    tokenizer_chars_per_book: int
    chars_per_book: int


@dataclass(frozen=True, slots=True)
class Model:
    """The shape of the Llama model, with the names of its `config.json`."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rope_theta: float


@dataclass(frozen=True, slots=True)
class Train:
    """The optimization and its hardware."""

    seed: int
    steps: int
    batch_tokens: int
    learning_rate: float
    warmup_steps: int
    weight_decay: float
    answer_weight: float
    device: str
    precision: str
    threads: int
    checkpoint_every: int
    evaluate_every: int


@dataclass(frozen=True, slots=True)
class Choice:
    """The loss for choosing landmarks.

    It applies to `layer`, has a `weight` relative to the loss of the text, and adds this many
    `blocks` to those of the sequence.
    """

    layer: int
    weight: float
    blocks: int


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase of the run, up to the fraction `until` of its steps, and its mixture of sequences.

    The fraction `landmark` of the sequences is read with landmarks. Of these, a passkey sequence
    has up to `keys` keys, the fraction `cut` of the key sentences crosses the end of a block, and
    up to `tail` tokens of text come between and after the questions. With `far` they are
    that many contexts long, and their blocks have the positions that a stream gives them.
    """

    until: float
    context: int
    repeat: float
    random: float
    passkey: float
    pairs: float
    landmark: float = 0.0
    keys: int = 1
    tail: int = 0
    far: int = 1
    cut: float = 0.0

    def __post_init__(self) -> None:
        if self.repeat + self.random + self.passkey + self.pairs > 1:
            raise ValueError(f"the shares of the phase until {self.until} exceed 1")
        if not 0 <= self.landmark <= 1:
            raise ValueError(f"landmark is a share, not {self.landmark}")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that determines the weights, except the books."""

    data: Data
    model: Model
    train: Train
    phases: tuple[Phase, ...]
    choice: Choice | None = None

    def __post_init__(self) -> None:
        ends = [phase.until for phase in self.phases]
        if not ends or ends != sorted(ends) or ends[-1] != 1.0:
            raise ValueError("phases must follow one another and the last must end at 1.0")
        longest = max(phase.context for phase in self.phases)
        if self.train.batch_tokens % longest:
            raise ValueError("batch_tokens must be a multiple of the longest context")

    @property
    def landmarks(self) -> bool:
        """Whether any sequence is read with landmarks."""
        return any(phase.landmark for phase in self.phases)

    def phase_at(self, step: int) -> Phase:
        """The phase that a step belongs to."""
        share = step / self.train.steps
        return next(phase for phase in self.phases if share < phase.until)


def load_settings(path: Path) -> Settings:
    """Read a TOML file; unknown and missing keys are errors."""
    tables: dict[str, Any] = tomllib.loads(path.read_text())
    return Settings(
        Data(**tables["data"]),
        Model(**tables["model"]),
        Train(**tables["train"]),
        tuple(Phase(**table) for table in tables["phase"]),
        Choice(**tables["choice"]) if "choice" in tables else None,
    )
