"""Score surprise with a causal language model of Transformers, by default the bundled one.

The model is loaded on first use.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memagent.errors import EngineError
from memagent.memory.index.cpu import fast_products
from memagent.memory.index.embedder import fingerprint
from memagent.memory.segmentation.scorer import Surprise
from memagent.models.bundled import pocket_lm
from memagent.scorers.windows import WINDOW, in_windows

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ModelSurprise"]


class ModelSurprise:
    """Log-probabilities of a text read in overlapping windows that the model was trained for.

    Every window begins with the model's opening token. Safe to use from several threads.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or pocket_lm()
        self.id = f"{self.folder.name.replace('_', '-')}-{fingerprint(self.folder)}"
        self._lock = threading.RLock()

    def score(self, texts: Sequence[str]) -> list[Surprise]:
        """Score texts one by one, so that no score depends on the other texts in the batch."""
        with self._lock:
            return [self._score(text) for text in texts]

    def _score(self, text: str) -> Surprise:
        import numpy as np

        _, tokenizer = self._loaded
        read = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        ids = np.array(read["input_ids"], dtype=np.int64)
        offsets = np.array(read["offset_mapping"], dtype=np.int64).reshape(len(ids), 2)
        return Surprise(offsets, in_windows(ids, self.window, 1, self._nats))

    def _nats(self, group: Sequence[tuple[Any, int]]) -> list[Any]:
        """-log p of the tokens of each window from the given position on."""
        import numpy as np
        import torch

        model, tokenizer = self._loaded
        longest = max(len(ids) for ids, _ in group)
        begin = tokenizer.bos_token_id
        rows = torch.full((len(group), longest + 1), begin, dtype=torch.int64)
        wanted = torch.zeros((len(group), longest), dtype=torch.bool)
        for row, (ids, new) in enumerate(group):
            rows[row, 1 : 1 + len(ids)] = torch.from_numpy(ids)
            wanted[row, new : len(ids)] = True
        rows = rows.to(model.device)
        with torch.inference_mode(), fast_products(model.device.type):
            # The padding follows the text, so a causal model does not attend to it.
            states = model.model(input_ids=rows[:, :-1], use_cache=False).last_hidden_state
            chosen = states[wanted.to(states.device)]
            targets = rows[:, 1:][wanted.to(rows.device)]
            values = self._cost(model.lm_head(chosen), targets).cpu().numpy()
        ends = np.cumsum([len(ids) - new for ids, new in group])
        return np.split(values, ends[:-1])

    @staticmethod
    def _cost(logits: Tensor, targets: Tensor) -> Tensor:
        """-log p of the targets [n] under logits [n, vocabulary]."""
        import torch

        logits = logits.float()
        return torch.logsumexp(logits, -1) - logits.gather(1, targets[:, None])[:, 0]

    @property
    def window(self) -> int:
        """Tokens per window, including the opening token."""
        return min(WINDOW, int(self._loaded[0].config.max_position_embeddings))

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from memagent.streaming.loading import load_model

        model, tokenizer = load_model(str(self.folder))
        if tokenizer.bos_token_id is None:
            raise EngineError(f"the model {self.folder} has no opening token, which scoring needs")
        return model, tokenizer
