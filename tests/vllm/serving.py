"""A toy model on disk and a real vLLM server on it; knows nothing of memagent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CONTEXT", "POCKET_CONTEXT", "RealServer", "make_model", "start"]

CONTEXT = 32_768
POCKET_CONTEXT = 2048
_PYTHON = Path(__file__).parents[2] / ".venv-vllm" / "bin" / "python"
_START_SECONDS = 150
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
    """A running server: its address, the model's folder, its log and its process."""

    url: str
    model: Path
    log: Path
    process: subprocess.Popen[bytes]

    def metric(self, name: str) -> float:
        """The sum of a metric's samples on /metrics."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as response:
            lines = response.read().decode().splitlines()
        samples = [line.rsplit(" ", 1)[1] for line in lines if line.startswith(name + "{")]
        assert samples, f"the server has no metric {name}"
        return sum(map(float, samples))

    def kill(self) -> None:
        """SIGKILL to the server and its worker processes."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def make_model(folder: Path, *, chat_template: bool) -> Path:
    """A random two-layer Llama with a byte-level tokenizer; greedy, it never ends by itself."""
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


def start(model: Path, log: Path, *flags: str, context: int = CONTEXT) -> RealServer:
    """Start vLLM on `model` and wait until it is healthy; its output goes to `log`."""
    if not _PYTHON.exists():
        raise FileNotFoundError(
            f"{_PYTHON} is missing: these tests need vLLM's CPU build there (make test-vllm)"
        )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [_PYTHON, "-m", "vllm.entrypoints.launchers.api_server.entry"]
    command += ["--model", model, "--served-model-name", "toy", "--dtype", "float32"]
    command += ["--enforce-eager", "--max-model-len", str(context), *flags]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=environment, start_new_session=True
        )
    server = RealServer(f"http://127.0.0.1:{port}", model, log, process)
    try:
        _wait(server)
    except BaseException:
        server.kill()
        raise
    return server


def _wait(server: RealServer) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"{server.url}/health", timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    tail = "\n".join(server.log.read_text(errors="replace").splitlines()[-30:])
    raise RuntimeError(f"vLLM did not become healthy; the end of its log:\n{tail}")
