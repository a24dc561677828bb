"""A toy model on disk, and real vLLM servers started from the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from memagent.engines.openai.metrics import read_metrics
from memagent.serving.record import began
from tests.conftest import PROGRAM

__all__ = [
    "CONTEXT",
    "POCKET_CONTEXT",
    "VLLM",
    "RealServer",
    "gone",
    "make_model",
    "members",
    "serving",
]

CONTEXT = 32_768
POCKET_CONTEXT = 2048
# What `memagent serve` needs to know of this place, in its environment.
VLLM = {
    "MEMAGENT_VLLM_PYTHON": str(Path(__file__).parents[2] / ".venv-vllm" / "bin" / "python"),
    "VLLM_CPU_KVCACHE_SPACE": "1",
}
_TEXTS = [
    "The harbour master keeps the spare key in the third drawer of the oak desk.",
    "Memory does not end where the context window does; every word is kept as it was said.",
    "On 14 March the crew of the Albatross counted 212 crates of tea and 9 of coffee.",
    "Ein Gedächtnis, das nichts verliert. Une mémoire qui n'oublie rien. 記憶は消えない。",
]
_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


@dataclass(frozen=True)
class RealServer:
    """A running server: its address, the model's folder, its process, where it is recorded."""

    url: str
    model: Path
    pid: int
    state: Path

    def metric(self, name: str) -> float:
        """The sum of a metric's samples on /metrics."""
        return read_metrics(self.url)[name]

    def kill(self) -> None:
        """SIGKILL to the server and its worker processes."""
        os.killpg(self.pid, signal.SIGKILL)
        while began(self.pid) is not None:
            time.sleep(0.05)


@contextmanager
def serving(model: Path | str, state: Path, *flags: str, **variables: str) -> Iterator[RealServer]:
    """A server on `model` for the block, started by `memagent serve` and recorded in `state`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MEMAGENT_")}
    env = {**kept, **VLLM, "MEMAGENT_STATE": str(state), **variables}

    def memagent(*arguments: str | Path) -> str:
        result = subprocess.run(
            [PROGRAM, "serve", *arguments], env=env, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    record = json.loads(memagent(model, "--port", "0", "--detach", "--json", *flags))
    yield RealServer(record["url"], Path(model), record["pid"], state)
    memagent("--stop")
    assert gone(record["pid"])


def members(group: int) -> list[str]:
    """The processes of a group that have not ended."""
    shown = subprocess.run(
        ["ps", "-A", "-o", "pgid=,stat=,args="], capture_output=True, text=True, check=True
    )
    rows = (line.split(None, 2) for line in shown.stdout.splitlines())
    return [row[2] for row in rows if int(row[0]) == group and not row[1].startswith("Z")]


def gone(group: int) -> bool:
    """Whether a group is without processes; one that was killed takes a moment to end."""
    deadline = time.monotonic() + 10
    while members(group) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not members(group)


def make_model(folder: Path, *, chat_template: bool) -> Path:
    """A random two-layer Llama with a byte-level tokenizer; with greedy decoding it never stops."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(
        _TEXTS * 4, vocab_size=512, special_tokens=["<eos>"], show_progress=False
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer, eos_token="<eos>")
    if chat_template:
        tokenizer.chat_template = _TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        eos_token_id=0,
        bos_token_id=None,
    )
    model = LlamaForCausalLM(config).to(torch.float32)
    # A zero row never wins the greedy choice: no end of text, and no lone byte of a longer
    # character, on which a server says nothing until the character is whole.
    silent = [i for i in range(len(tokenizer)) if i == 0 or not tokenizer.decode([i]).isascii()]
    with torch.no_grad():
        model.lm_head.weight[silent] = 0.0
    model.save_pretrained(folder)
    return folder
