"""One step of recurrent writing: memory, plan and previous paragraph give the next of each.

"RecurrentGPT: Interactive Generation of (Arbitrarily) Long Text",
https://arxiv.org/abs/2305.13304: an LSTM in words. Stores nothing, and knows nothing of commands.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from memagent.agent.strategies.repetition import MOST_REPEATED, repeated_share
from memagent.agent.structured_retry import ATTEMPTS, Unusable, ask
from memagent.engines.base import Engine
from memagent.errors import EngineError, InputError
from memagent.memory.store.working import MOST_LINES, MOST_WORDS
from memagent.prompts.load import render
from memagent.types import Message
from memagent.writing.generation import Call
from memagent.writing.reply import StepReply, parse_step, rest
from memagent.writing.step_schema import PLANS, Shape, measured, step_schema

__all__ = ["Scene", "Written", "answer_tokens", "write_step"]

# Largest share of the engine's context window for an answer.
_ANSWER = 0.4

# Minimum temperature for rewriting a repetitive paragraph.
_HOT = 0.7

_LETTERS_A_WORD = 6
_LONGEST_WORD = 40


@dataclass(frozen=True, slots=True)
class Scene:
    """The input of a step: the number of its paragraph, the outline, the numbered lines of working
    memory, stored paragraphs near the plan (nearest first), the previous paragraph, and the plan.

    The first step has no plan; later steps get the outline only if there is no memory.
    """

    number: int
    outline: str
    memory: tuple[tuple[int, str], ...] = ()
    earlier: tuple[str, ...] = ()
    previous: str = ""
    plan: str | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A paragraph and the model's reply with changes to memory and plans; `reply` is None if the
    answer was broken, and memory and plans stay unchanged.

    `repeated` is the share of the paragraph that repeats earlier text; `notes` lists problems.
    """

    paragraph: str
    reply: StepReply | None
    repeated: float
    notes: tuple[str, ...] = ()


def answer_tokens(engine: Engine, max_tokens: int) -> int:
    """The token limit of an answer: `max_tokens`, or less if the engine's window is small."""
    return min(max_tokens, int(engine.context * _ANSWER))


def write_step(call: Call, scene: Scene, written: Sequence[str]) -> Written:
    """Write the next paragraph; `written` are the earlier ones, to detect repetition.

    After three broken answers the paragraph is saved from one of them, if possible, and memory and
    plans stay unchanged; otherwise raises InputError. A paragraph that repeats more than a small
    share is rewritten once. Raises EngineError if even the shortest prompt does not fit the window.
    """
    shape = measured(call.engine, call.max_tokens, scene.previous or scene.outline)
    numbers = [number for number, _ in _fitted(call, scene, shape).memory]
    schema = step_schema(shape, numbers)

    def build(wrong: str) -> tuple[Message, ...]:
        try:
            return _messages(call.engine, _fitted(call, scene, shape, wrong), shape, wrong)
        except EngineError:
            # The error in the last answer does not fit into the prompt.
            return _messages(call.engine, _fitted(call, scene, shape), shape)

    def parse(text: str) -> StepReply:
        return parse_step(text, numbers)

    outcome = ask(lambda wrong, attempt: call.say(build(wrong), schema, attempt), parse)
    first = _told(scene, outcome.value, outcome.outputs, outcome.rejection, written)
    if first.repeated <= MOST_REPEATED:
        return first
    said = call.say(build(""), schema, ATTEMPTS + 1, _HOT).text
    try:
        reply: StepReply | None = parse(said)
    except Unusable:
        reply = None
    second = _taken(reply, (said,), written)
    return _better(scene, first, second)


def _told(
    scene: Scene,
    reply: StepReply | None,
    said: Sequence[str],
    wrong: str,
    written: Sequence[str],
) -> Written:
    taken = _taken(reply, said, written)
    if taken is None:
        raise InputError(
            f"paragraph {scene.number} failed: {len(said)} answers of the model were unusable "
            f"({wrong}); nothing of it is stored: try again, a larger --max-tokens, another --seed "
            "or another model"
        )
    if reply is not None:
        return taken
    note = (
        f"paragraph {scene.number}: {len(said)} answers were unusable ({wrong}): the paragraph is "
        "kept, memory and plans are unchanged"
    )
    return replace(taken, notes=(note,))


def _taken(reply: StepReply | None, said: Sequence[str], written: Sequence[str]) -> Written | None:
    if reply is not None:
        return Written(reply.paragraph, reply, repeated_share(reply.paragraph, written))
    saved = next(filter(None, map(rest, said)), None)
    return None if saved is None else Written(saved, None, repeated_share(saved, written))


def _better(scene: Scene, first: Written, second: Written | None) -> Written:
    """Prefers the one with memory and plans, then the one that repeats less."""
    share = f"paragraph {scene.number}: {first.repeated:.0%} of it had been said before; "
    if second is None or (second.reply is None, second.repeated) >= (
        first.reply is None,
        first.repeated,
    ):
        return replace(first, notes=(*first.notes, f"{share}written again, it was no better"))
    return replace(
        second, notes=(f"{share}it was written again, which leaves {second.repeated:.0%}",)
    )


def _messages(engine: Engine, scene: Scene, shape: Shape, wrong: str = "") -> tuple[Message, ...]:
    system = render(
        "write_system.md.j2",
        bound=engine.capabilities.structured,
        words=max(shape.paragraph // _LETTERS_A_WORD, 1),
        most_lines=MOST_LINES,
        most_words=MOST_WORDS,
        plans=PLANS,
    )
    turn = render(
        "write_step.md.j2",
        outline=scene.outline,
        memory=scene.memory,
        earlier=scene.earlier,
        previous=scene.previous,
        plan=scene.plan,
        wrong=wrong,
    )
    return Message("system", system), Message("user", turn)


def _fitted(call: Call, scene: Scene, shape: Shape, wrong: str = "") -> Scene:
    """The scene reduced until it fits. Drops the stored paragraphs (farthest first), the outline if
    there is a plan, the oldest lines of memory, then the start of the previous paragraph."""
    engine, room = call.engine, call.engine.context - call.max_tokens
    while (over := engine.count_prompt(_messages(engine, scene, shape, wrong)) - room) > 0:
        if scene.earlier:
            scene = replace(scene, earlier=scene.earlier[:-1])
        elif scene.outline and scene.plan is not None:
            scene = replace(scene, outline="")
        elif scene.memory:
            scene = replace(scene, memory=scene.memory[1:])
        elif scene.previous:
            scene = replace(scene, previous=_tail(engine, scene.previous, over))
        else:
            raise EngineError(
                f"paragraph {scene.number} needs {over} tokens more than {engine.model} has room "
                "for: shorten the plan (for the first paragraph, the outline), lower --max-tokens, "
                "or serve the model with a larger context"
            )
    return scene


def _tail(engine: Engine, text: str, over: int) -> str:
    """The text without its first `over` tokens, starting at a word."""
    tokens = max(engine.count(text), 1)
    kept = text[max(len(text) * over // tokens, 1) :]
    word = re.search(r"\s+", kept[:_LONGEST_WORD])
    return kept[word.end() :] if word else kept
