"""The network of the span reader: an encoder and, for each token, how well an answer starts and
ends there. The first token stands for "no answer here" (BERT, arXiv:1810.04805, section 4.3).

Knows nothing of texts or of where weights lie.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["SpanNetwork", "best_spans"]

# Logits that a token more costs: of two spans nearly as likely the shorter one is more often right.
_EACH_TOKEN = 0.04


class SpanNetwork(nn.Module):
    """`encoder` is a BERT model without its pooler."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.config.hidden_size, 2)

    def forward(self, ids: Tensor, types: Tensor, mask: Tensor) -> Tensor:
        """Logits [batch, 2, tokens] in float32, of a start and of an end.

        ids, types and mask [batch, tokens] are the token ids, 0 for the question and 1 for the
        passage, 1 for tokens and 0 for padding. Tokens of the question but the first, and
        padding, get -inf.
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

    Returns their score over that of no answer, what their length costs taken off, and their first
    and last token, each [batch, count].
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
