"""The network of the span reader: an encoder, and a head that scores starts and ends of answers.

A span from the first token to itself means that there is no answer (BERT, arXiv:1810.04805, section
4.3). Knows nothing of texts and files.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["SpanNetwork", "best_spans"]

# Subtracted from the logit for each further token: of two spans that score almost the same, the
# shorter one is more often right.
_EACH_TOKEN = 0.04


class SpanNetwork(nn.Module):
    """`encoder` is a BERT model without its pooler."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.config.hidden_size, 2)

    def forward(self, ids: Tensor, types: Tensor, mask: Tensor) -> Tensor:
        """Start and end logits of each token, float32 [batch, 2, tokens].

        `ids`, `types` and `mask` are [batch, tokens]: token ids; 0 for the question and 1 for the
        passage; 1 for tokens and 0 for padding. The logits are -inf for padding and for all tokens
        of the question except the first.
        """
        hidden = self.encoder(
            input_ids=ids, token_type_ids=types, attention_mask=mask
        ).last_hidden_state
        logits = self.head(hidden).float().transpose(1, 2)
        allowed = (types * mask).bool()
        allowed[:, 0] = True
        found: Tensor = logits.masked_fill(~allowed[:, None], float("-inf"))
        return found


def best_spans(logits: Tensor, most: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The `count` best spans of at most `most` tokens in each row of logits [batch, 2, tokens].

    Returns scores, first tokens and last tokens, each [batch, count]. A score is the span's logit,
    less a penalty for its length, minus the logit of no answer.
    """
    tokens = logits.shape[2]
    null = logits[:, :, 0].sum(1)
    start, end = logits[:, 0, 1:], logits[:, 1, 1:]
    scores = start[:, :, None] + end[:, None, :]
    place = torch.arange(tokens - 1, device=logits.device)
    length = place[None, :] - place[:, None]
    scores = scores - _EACH_TOKEN * length
    scores = scores.masked_fill((length < 0) | (length >= most), float("-inf"))
    best = scores.flatten(1).topk(min(count, (tokens - 1) ** 2), dim=1)
    first = best.indices // (tokens - 1) + 1
    last = best.indices % (tokens - 1) + 1
    return best.values - null[:, None], first, last
