"""The slash commands of a chat: their table, and the short ones themselves."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from memagent.cli.chat import lines as notes
from memagent.cli.chat.citations import open_place, sources
from memagent.cli.chat.conversation import Conversation
from memagent.cli.chat.forgetting import forget
from memagent.cli.render.explain import print_explain
from memagent.errors import NotFoundError, UsageError

__all__ = ["COMMANDS", "Command", "obey"]


@dataclass(frozen=True, slots=True)
class Command:
    """What stands behind a slash: its arguments, a line of help, and what it does."""

    arguments: str
    help: str
    run: Callable[[Conversation, str], None]


def obey(chat: Conversation, line: str) -> None:
    """Carry out a line that begins with a slash; UsageError for an unknown command."""
    name, _, argument = line.strip().partition(" ")
    command = COMMANDS.get(name)
    if command is None:
        near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UsageError(
            f"no command {name}: {hint}/help lists them; a line that begins with // is sent as text"
        )
    argument = argument.strip()
    if argument and not command.arguments:
        raise UsageError(f"{name} stands alone: leave out {argument!r}")
    command.run(chat, argument)


def _help(chat: Conversation, argument: str) -> None:
    usage = {f"{name} {command.arguments}".rstrip(): command for name, command in COMMANDS.items()}
    width = max(map(len, usage))
    lines = [f"{shown:<{width}}  {command.help}" for shown, command in usage.items()]
    lines += [
        f"{chr(34) * 3:<{width}}  begins and ends a turn of many lines",
        f"{'//text':<{width}}  sends text that begins with a slash",
        f"{'Ctrl-C':<{width}}  stops the answer and keeps the part; twice leaves",
    ]
    chat.screen.note("\n".join(lines))


def _why(chat: Conversation, argument: str) -> None:
    report = chat.the_answer().explain
    if "chosen" not in report:
        raise NotFoundError("the last answer has no record of its recall: it was stopped too early")
    print_explain(report)


def _context(chat: Conversation, argument: str) -> None:
    answer = chat.the_answer()
    report = answer.explain
    if "prompt_tokens" not in report:
        raise NotFoundError("the last answer has no record of its prompt: it was stopped too early")
    agent = chat.session.agent
    if agent.engine.capabilities.attention:
        said = "in the model's own memory"
    else:
        said = f"{report['history_turns']} turns, with what was recalled for them"
    kept = f"{agent.settings.max_tokens:,} of them kept for the answer"
    lines = [
        f"prompt        {report['prompt_tokens']:,} tokens",
        f"recalled      {report['spent']:,} in {len(report['chosen'])} events",
        f"conversation  {said}",
        f"budget        {report['budget']:,} for what is recalled",
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


def _undo(chat: Conversation, argument: str) -> None:
    text = chat.session.undo()
    chat.reload()
    chat.screen.note(f"(taken back, and no longer recalled: {text})")


def _quit(chat: Conversation, argument: str) -> None:
    chat.leave(chat.code)


_VERBS = "show, update, edit, add LINE, diff, undo, drop N"

COMMANDS: dict[str, Command] = {
    "/help": Command("", "this list", _help),
    "/sources": Command("", "places and exact text behind the last answer", sources),
    "/open": Command("N", "the stored text around citation N, the quote marked", open_place),
    "/why": Command("", "why each event was recalled", _why),
    "/memory": Command("[…]", f"the session's working memory: {_VERBS}", notes.memory),
    "/plan": Command("[…]", f"the session's plan: {_VERBS}", notes.plan),
    "/retry": Command("", "answer the last turn again", _retry),
    "/undo": Command("", "take the last turn back", _undo),
    "/forget": Command(
        "N | last", "overwrite the text behind citation N, or the last turn", forget
    ),
    "/context": Command("", "tokens of the last prompt, by part", _context),
    "/session": Command("", "name and turns of this session", _session),
    "/quit": Command("", "leave; the session can be continued", _quit),
}
