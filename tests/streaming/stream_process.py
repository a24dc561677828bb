"""A separate process that writes, resumes, or is killed; see test_saving.py."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from memagent.streaming import saving
from memagent.streaming.config import StreamConfig
from memagent.streaming.stream import Stream

SMALL = {"page": 16, "window": 32, "budget": 64, "chunk": 48, "refresh": 4}
HOT = StreamConfig(**SMALL).least_pages
# Name of a folder: what its stream is like.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "representative": ({}, {}),
    "representative hot": ({"hot_pages": HOT}, {"rows": 2}),
    "minmax": ({"selector": "minmax"}, {"rows": 2}),
    "minmax hot": ({"selector": "minmax", "hot_pages": HOT}, {}),
    "per_head hot": ({"selector": "per_head", "hot_pages": HOT}, {}),
    "mean hot in host memory": ({"selector": "mean", "hot_pages": HOT}, {"host_pages": 7}),
    "recent": ({"selector": "recent"}, {}),
    "recent hot": ({"selector": "recent", "hot_pages": HOT}, {}),
    "landmark": ({"selector": "landmark", "landmark": 1, "sinks": 0, "hot_pages": HOT}, {}),
}
KILLED = "minmax hot"


def made(model: PreTrainedModel, case: str, folder: Path | None) -> Stream:
    sizes, options = CASES[case]
    return Stream(model, StreamConfig(**SMALL, **sizes), folder=folder, **options)


def resumed(model: PreTrainedModel, case: str, folder: Path) -> Stream:
    host_pages = CASES[case][1].get("host_pages")
    stream = saving.resume(model, folder, host_pages=host_pages)
    assert stream is not None
    return stream


def hexed(stream: Stream) -> str:
    assert stream.logits is not None
    return stream.logits.numpy().tobytes().hex()


def killing(part: str, half: bool) -> Callable[..., None]:
    """A `save_file` that ends the process at a path with that part, half of the file written."""
    save_file = safetensors.torch.save_file

    def save(tensors: dict[str, torch.Tensor], path: Path, **options: Any) -> None:
        if part not in Path(path).parts:
            return save_file(tensors, path, **options)
        if half:
            save_file(tensors, path, **options)
            whole = Path(path).read_bytes()
            Path(path).write_bytes(whole[: len(whole) // 2])
        return os.kill(os.getpid(), signal.SIGKILL)

    return save


def write(model: PreTrainedModel, root: Path, read: dict[str, torch.Tensor]) -> dict[str, str]:
    found = {}
    for case, (_, options) in CASES.items():
        rows = options.get("rows", 1)
        stream = made(model, case, root / case)
        stream.read(read["before"][:rows])
        saving.save(stream)
        stream.read(read["after"][:rows])
        found[case] = hexed(stream)
    return found


def read_on(model: PreTrainedModel, root: Path, read: dict[str, torch.Tensor]) -> dict[str, str]:
    found = {}
    for case, (_, options) in CASES.items():
        stream = resumed(model, case, root / case)
        stream.read(read["after"][: options.get("rows", 1)])
        found[case] = hexed(stream)
    return found


def kill(model: PreTrainedModel, root: Path, read: dict[str, torch.Tensor]) -> dict[str, str]:
    """The name of each folder next to the cases says where its process is killed."""
    places = {
        "half a state": ("state.new", True),
        "no state": ("state.new", False),
        "half a page file": ("pages", True),
        "no page file": ("pages", False),
        "unsaved": ("nowhere", False),
    }
    found = {}
    for name, (part, half) in places.items():
        child = os.fork()
        if child == 0:
            stream = resumed(model, KILLED, root / name)
            stream.read(read["other"][:1])
            if name != "unsaved":
                safetensors.torch.save_file = killing(part, half)
                saving.save(stream)
            os.kill(os.getpid(), signal.SIGKILL)
        found[name] = str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return found


if __name__ == "__main__":
    what, root = sys.argv[1], Path(sys.argv[2])
    llm = AutoModelForCausalLM.from_pretrained(root / "model")
    steps = {"write": write, "read": read_on, "kill": kill}
    given = torch.load(root / "tokens.pt", weights_only=True)
    sys.stdout.write(json.dumps(steps[what](llm, root, given)))
