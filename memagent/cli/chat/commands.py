"""The slash commands of a chat: the table, and the commands that need no file of their own."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

from memagent.cli.chat.citations import open_passage, sources
from memagent.cli.chat.conversation import Conversation
from memagent.cli.chat.forgetting import forget
from memagent.cli.chat.line_editing import edit_memory, edit_plan
from memagent.cli.render.explain import print_explain
from memagent.errors import NotFoundError, UsageError
from memagent.types import Thinking

__all__ = ["COMMANDS", "Command", "run_command"]

_THINKING = get_args(Thinking)


@dataclass(frozen=True, slots=True)
class Command:
    """A slash command: its arguments, a line of help, and the function that runs it."""

    arguments: str
    help: str
    run: Callable[[Conversation, str], None]


def run_command(chat: Conversation, line: str) -> None:
    """Run a line that begins with a slash; UsageError for an unknown command."""
    name, _, argument = line.strip().partition(" ")
    command = COMMANDS.get(name)
    if command is None:
        near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UsageError(
            f"no command {name}: {hint}/help lists them; begin a line with // to send it as text"
        )
    argument = argument.strip()
    if argument and not command.arguments:
        raise UsageError(f"{name} takes no argument: leave out {argument!r}")
    command.run(chat, argument)


def _help(chat: Conversation, argument: str) -> None:
    usage = {f"{name} {command.arguments}".rstrip(): command for name, command in COMMANDS.items()}
    width = max(map(len, usage))
    lines = [f"{shown:<{width}}  {command.help}" for shown, command in usage.items()]
    lines += [
        f"{chr(34) * 3:<{width}}  starts and ends a turn of several lines",
        f"{'//text':<{width}}  sends a turn that begins with a slash",
        f"{'Ctrl-C':<{width}}  stops the answer and keeps the part so far; press twice to leave",
    ]
    chat.screen.note("\n".join(lines))


def _why(chat: Conversation, argument: str) -> None:
    report = chat.newest_answer().explain
    if "chosen" not in report:
        raise NotFoundError("nothing was recalled for the last answer: it was stopped too early")
    print_explain(report)


def _context(chat: Conversation, argument: str) -> None:
    answer = chat.newest_answer()
    report = answer.explain
    if "prompt_tokens" not in report:
        raise NotFoundError("the last answer had no prompt: it was stopped too early")
    agent = chat.session.agent
    if agent.engine.capabilities.attention:
        history = "in the model's own memory"
    else:
        history = f"{report['history_turns']} turns, with the text recalled for them"
    kept = f"{agent.settings.max_tokens:,} of them reserved for the answer"
    lines = [
        f"prompt        {report['prompt_tokens']:,} tokens",
        f"recalled      {report['spent']:,} in {len(report['chosen'])} events",
        f"conversation  {history}",
        f"budget        {report['budget']:,} for recalled text",
        f"window        {agent.engine.context:,}, {kept}",
    ]
    chat.screen.note("\n".join(lines))


def _session(chat: Conversation, argument: str) -> None:
    spans = chat.memory.spans.of(chat.session.source.id, withdrawn=False)
    turns = sum(span.role == "user" for span in spans)
    where = f"namespace {chat.memory.namespace}, engine {chat.session.agent.engine.name}"
    chat.screen.note(f"session {chat.session.name}: {turns} turns, {where}")


def _retry(chat: Conversation, argument: str) -> None:
    chat.retry()


def _continue(chat: Conversation, argument: str) -> None:
    chat.go_on()


def _thinking(chat: Conversation, argument: str) -> None:
    agent, view = chat.session.agent, chat.screen.thinking
    if argument in _THINKING:
        agent.settings = agent.settings.model_copy(update={"thinking": argument})
    elif argument in ("", "show", "hide"):
        view.shown = not view.shown if not argument else argument == "show"
    else:
        raise UsageError(
            f"/thinking takes show, hide, {', '.join(_THINKING)} or nothing, not {argument!r}"
        )
    shown = "shown" if view.shown else "hidden"
    chat.screen.note(f"(thinking is {shown}; the model is asked for: {agent.settings.thinking})")


def _undo(chat: Conversation, argument: str) -> None:
    text = chat.session.undo()
    chat.reload()
    chat.screen.note(f"(undone, and no longer recalled: {text})")


def _quit(chat: Conversation, argument: str) -> None:
    chat.leave(chat.code)


_VERBS = "show, update, edit, add LINE, diff, undo, drop N"

COMMANDS: dict[str, Command] = {
    "/help": Command("", "show this list", _help),
    "/sources": Command("", "show the sources and exact text of the last answer", sources),
    "/open": Command(
        "N", "show the stored text around citation N, with the quote marked", open_passage
    ),
    "/why": Command("", "show why each event was recalled", _why),
    "/memory": Command("[…]", f"the working memory of the session: {_VERBS}", edit_memory),
    "/plan": Command("[…]", f"the plan of the session: {_VERBS}", edit_plan),
    "/retry": Command("", "answer the last turn again", _retry),
    "/continue": Command("", "go on with an answer that was cut or stopped", _continue),
    "/undo": Command("", "undo the last turn", _undo),
    "/forget": Command(
        "N | last", "overwrite the text of citation N, or the last turn, for good", forget
    ),
    "/context": Command("", "show how many tokens each part of the last prompt took", _context),
    "/thinking": Command(
        "[LEVEL]",
        f"show or hide the model's thinking, or set how much it thinks: {', '.join(_THINKING)}",
        _thinking,
    ),
    "/session": Command("", "show the name and the number of turns of this session", _session),
    "/quit": Command("", "leave; the session can be continued later", _quit),
}
