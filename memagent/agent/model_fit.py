"""What a prompt should hold for a model: how much recalled text, and whether it offers tools.

Small models lose the answer in a long prompt, and offered tools, they write a call where the
answer should be. The figures are those of `memagent bench answers` (docs/results.md).
"""

from __future__ import annotations

from memagent.engines.base import Engine
from memagent.settings import DEFAULT_BUDGET, Settings

__all__ = ["offers_tools", "recall_budget"]

_SMALL_BUDGET = 400  # tokens
_SMALL_SIZE = 3.0  # billions of parameters
_SMALL_CONTEXT = 8192


def recall_budget(settings: Settings, engine: Engine) -> int:
    """Tokens of recalled text for a prompt: the setting, else what suits the model.

    A model of unknown size counts as small if its context is at most 8,192 tokens.
    """
    unknown = engine.size is None and engine.capabilities.generates
    small = engine.context <= _SMALL_CONTEXT if unknown else _is_small(engine)
    return min(settings.budget or (_SMALL_BUDGET if small else DEFAULT_BUDGET), engine.context // 2)


def offers_tools(engine: Engine) -> bool:
    """Whether the model is offered the memory's tools; a model of unknown size is."""
    return engine.capabilities.tools and not _is_small(engine)


def _is_small(engine: Engine) -> bool:
    return engine.size is not None and engine.size < _SMALL_SIZE
