"""What a prompt should hold for a model: how much recalled text, and whether it offers tools.

Small models lose the answer in a long prompt, and offered tools, they write a call where the
answer should be. The figures are those of `memagent bench answers` (docs/results.md).
"""

from __future__ import annotations

import sys

from memagent.engines.base import Engine
from memagent.settings import DEFAULT_BUDGET, Settings

__all__ = ["neighbour_share", "offers_tools", "recall_budget", "refuses", "slowness"]

# Billions of parameters, and the tokens of recalled text that suit models below them.
_TINY_SIZE, _TINY_BUDGET = 1.0, 400
_SMALL_SIZE, _SMALL_BUDGET = 3.0, 800
# Below this budget, passages that match are worth more than the neighbours of others.
_NEIGHBOURS_FROM = 1000
_SMALL_CONTEXT = 8192
_LEAST_BUDGET = 150  # tokens
_OVERHEAD = 100  # tokens of instructions and question


def recall_budget(settings: Settings, engine: Engine) -> int:
    """Tokens of recalled text for a prompt: the setting, else what suits the model.

    By default a server that reads slowly gets what it can read in the time to the first token.
    """
    if settings.budget is not None:
        return min(settings.budget, engine.context // 2)
    return min(_suited(engine), _readable(settings, engine))


def neighbour_share(settings: Settings, budget: int) -> float:
    """The share of a budget for neighbours of what was found: the setting, else by the budget."""
    if "contiguity" in settings.model_fields_set or budget >= _NEIGHBOURS_FROM:
        return settings.contiguity
    return 0.0


def slowness(settings: Settings, engine: Engine) -> str:
    """One line that says how much less is recalled for a slow server; "" if nothing is."""
    suited, readable = _suited(engine), _readable(settings, engine)
    if settings.budget is not None or readable >= suited:
        return ""
    return (
        f"recalling {readable} tokens of text, not {suited}: the server reads "
        f"{engine.reading_speed:.0f} tokens a second, and first_token allows "
        f"{settings.first_token:g} s"
    )


def _suited(engine: Engine) -> int:
    """Tokens that suit the model; unknown size and a context of at most 8,192 count as small."""
    size = engine.size
    if size is None and engine.capabilities.generates and engine.context <= _SMALL_CONTEXT:
        return min(_SMALL_BUDGET, engine.context // 4)
    budget = DEFAULT_BUDGET
    if size is not None and size < _SMALL_SIZE:
        budget = _TINY_BUDGET if size < _TINY_SIZE else _SMALL_BUDGET
    return min(budget, engine.context // 2)


def offers_tools(engine: Engine) -> bool:
    """Whether the model is offered the memory's tools; a model of unknown size is."""
    return engine.capabilities.tools and not _is_small(engine)


def refuses(engine: Engine) -> bool:
    """Whether to ask the model to refuse where the passages do not hold the answer.

    Small models then refuse most questions, whether or not the passages hold the answer.
    """
    return not _is_small(engine)


def _readable(settings: Settings, engine: Engine) -> int:
    """Tokens of recalled text that the engine can read in the time to the first token."""
    speed = engine.reading_speed
    if speed is None:
        return sys.maxsize
    return max(_LEAST_BUDGET, int(speed * settings.first_token) - _OVERHEAD)


def _is_small(engine: Engine) -> bool:
    return engine.size is not None and engine.size < _SMALL_SIZE
