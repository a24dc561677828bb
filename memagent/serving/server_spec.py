"""Which model to serve and how, as vLLM's command line and environment; runs nothing."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memagent.errors import NotFoundError, UsageError
from memagent.models.bundled import pocket_lm

__all__ = ["POCKET", "ServerSpec"]

POCKET = "pocket"
_ENTRY = Path(__file__).with_name("entry.py")
_POSITIONS = "max_position_embeddings"


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """A model and how to serve it; None leaves an option to vLLM, `extra` is passed on unchanged.

    model: a folder, a name on the hub, or `pocket`. port: 0 for a free one. context: in tokens.
    gpu_memory: the share of GPU memory to use, above 0 and at most 1.
    """

    model: str
    python: Path = Path(sys.executable)
    name: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    context: int | None = None
    gpu_memory: float | None = None
    tensor_parallel: int | None = None
    pipeline_parallel: int | None = None
    extra: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rules = (
            (bool(self.model) and self.model[0] != "-", "MODEL", "a folder or a name on the hub"),
            (0 <= self.port < 65536, "--port", "between 0 and 65535"),
            (self.context is None or self.context >= 256, "--context", "at least 256 tokens"),
            (self.gpu_memory is None or 0 < self.gpu_memory <= 1, "--gpu-memory", "0 to 1"),
            (
                self.tensor_parallel is None or self.tensor_parallel > 0,
                "--tensor-parallel",
                "at least 1",
            ),
            (
                self.pipeline_parallel is None or self.pipeline_parallel > 0,
                "--pipeline-parallel",
                "at least 1",
            ),
        )
        for holds, name, rule in rules:
            if not holds:
                raise UsageError(f"{name} must be {rule}")
        path = Path(self.model).expanduser()
        looks_so = path.is_absolute() or self.model[0] in ".~" or self.model.count("/") > 1
        if looks_so and not path.exists():
            raise NotFoundError(f"there is no model at {self.model}")

    def is_pocket(self) -> bool:
        """Whether the model is the bundled one; a folder of that name comes first."""
        return self.model == POCKET and not Path(POCKET).exists()

    @property
    def folder(self) -> Path | None:
        """The folder of the model on this machine; None for a name on the hub."""
        if self.is_pocket():
            return pocket_lm()
        path = Path(self.model).expanduser()
        return path if path.exists() else None

    @property
    def served_name(self) -> str:
        """The name that clients request the model by."""
        if self.name is not None:
            return self.name
        here = self.folder is not None and not self.is_pocket()
        return Path(self.model).expanduser().resolve().name if here else self.model

    def own_context(self) -> int | None:
        """The context length of the model in tokens; None if its config does not state it."""
        config = self._config()
        positions = config.get(_POSITIONS, config.get("text_config", {}).get(_POSITIONS))
        return positions if isinstance(positions, int) else None

    def is_stretched(self) -> bool:
        """Whether the requested context is longer than the model's own."""
        return self.context is not None and self.context > (self.own_context() or self.context)

    def command(self, port: int) -> list[str]:
        """The command line of the server."""
        flags = {
            "--model": self.folder or self.model,
            "--served-model-name": self.served_name,
            "--host": self.host,
            "--port": port,
            "--max-model-len": self.context,
            "--gpu-memory-utilization": self.gpu_memory,
            "--tensor-parallel-size": self.tensor_parallel,
            "--pipeline-parallel-size": self.pipeline_parallel,
        }
        if self.is_stretched():
            longer: dict[str, Any] = {_POSITIONS: self.context}
            inside = _POSITIONS not in self._config()
            flags["--hf-overrides"] = json.dumps({"text_config": longer} if inside else longer)
        given = [str(part) for flag in flags.items() if flag[1] is not None for part in flag]
        return [str(self.python), str(_ENTRY), *given, *self.extra]

    def environment(self) -> dict[str, str]:
        """The server's environment: no usage statistics, and no downloads for a local model."""
        added = {"VLLM_NO_USAGE_STATS": "1"}
        # Modules in the current folder must not shadow those that vLLM imports.
        added["PYTHONSAFEPATH"] = "1"
        if self.folder is not None:
            added["HF_HUB_OFFLINE"] = "1"
        return {**os.environ, **added}

    def _config(self) -> dict[str, Any]:
        """The model's config.json; {} if it cannot be read, which vLLM will report."""
        if self.context is None:
            return {}
        try:
            if self.folder is None:
                from huggingface_hub import hf_hub_download

                path = Path(hf_hub_download(self.model, "config.json"))
            else:
                path = self.folder / "config.json"
            config = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return config if isinstance(config, dict) else {}
