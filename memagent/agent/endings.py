"""How an answer ended: from what the engine reported, and in words for the user."""

from __future__ import annotations

from memagent.agent.refusal import is_refusal
from memagent.engines.base import Finish
from memagent.errors import NoAnswerError
from memagent.types import Answer, Ending

__all__ = ["CONTINUABLE", "END_LABELS", "check_answered", "ending_of", "notice"]

CONTINUABLE: tuple[Ending, ...] = ("length", "interrupted", "lost")
"""The endings after which an answer can go on."""

_NOTICES: dict[Ending, str] = {
    "length": "the answer was cut at {max_tokens} tokens: /continue in a chat goes on, or raise "
    "--max-tokens",
    "empty": "the model gave no answer: ask again, raise --max-tokens, or choose another model "
    "with --model",
    "thinking": "the model spent its tokens on thinking and gave no answer: raise --max-tokens, "
    "or use --thinking off",
    "refused": "the server's filter stopped the answer: rephrase the question, or choose another "
    "model with --model",
}


END_LABELS: dict[Ending, str] = {
    "length": "cut at the token limit",
    "empty": "no answer",
    "thinking": "no answer, only thinking",
    "refused": "stopped by the server's filter",
    "repetition": "stopped, because it repeated itself",
    "interrupted": "stopped",
    "lost": "cut when the server was lost",
}
"""A few words for each ending but the usual one."""


def ending_of(text: str, thinking: str, finish: Finish | None) -> Ending:
    """How a call ended by itself that gave this text and thinking."""
    if finish == "refused":
        return "refused"
    if not text.strip():
        return "thinking" if thinking.strip() else "empty"
    return "length" if finish == "length" else "stop"


def notice(answer: Answer, max_tokens: int) -> str:
    """What to tell the user about the end of an answer and what to do; "" if there is nothing.

    Interruptions, lost servers and repetition are reported where they happen.
    """
    if answer.ended == "stop" and not answer.found and not is_refusal(answer.text):
        if any(cited.verified for cited in answer.citations):
            return "the cited text may not answer the question: read it before you rely on it"
        return "nothing stored supports this answer: it may be invented"
    return _NOTICES.get(answer.ended, "").format(max_tokens=max_tokens)


def check_answered(answer: Answer, max_tokens: int) -> None:
    """Raise NoAnswerError if the model ended without an answer."""
    if answer.ended in ("empty", "thinking") or (answer.ended == "refused" and not answer.text):
        raise NoAnswerError(notice(answer, max_tokens), answer.ended)
