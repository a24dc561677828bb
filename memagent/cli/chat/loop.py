"""The loop of a chat: read a turn or a command, carry it out, until the end or Ctrl-C twice."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from typing import NoReturn

from memagent.agent.filters import build_filter
from memagent.agent.graph import ignore
from memagent.agent.session import Session, new_name, newest
from memagent.agent.workspace import Workspace
from memagent.cli.chat.background import Background
from memagent.cli.chat.blocks import BlockDroppedError, Entries, Entry
from memagent.cli.chat.commands import COMMANDS, obey
from memagent.cli.chat.conversation import Conversation, Reader
from memagent.cli.chat.history import ChatHistory
from memagent.cli.chat.interrupts import Interrupts
from memagent.cli.chat.plain import Plain
from memagent.cli.chat.screen import Screen
from memagent.cli.render.output import say
from memagent.errors import MemagentError, UsageError
from memagent.memory.namespace import Namespace

__all__ = ["converse"]

# How long to wait at the end for work that could also be done later.
_GRACE = 2.0


def converse(
    workspace: Workspace, name: str | None, *, follow: bool, as_of: str | None = None
) -> int:
    """Hold the conversation called `name`, or the newest, or a new one; returns the exit code.

    `as_of` is a moment or a day: answers come from what was known and valid then.
    """
    memory = workspace.memory()
    where = build_filter(memory, None, None, None, as_of)
    chosen = name or (newest(memory) if follow else _fresh(memory))
    agent = workspace.agent()
    session = Session(agent, chosen)
    history = ChatHistory(workspace.settings.state_dir)
    screen = Screen()
    with Interrupts() as interrupts:
        reader = _reader(interrupts, screen, history)
        background = Background(agent, _keeper(session)) if reader.interactive else None
        chat = Conversation(session, reader, screen, interrupts, history, background, where)
        if reader.interactive:
            then = f", as of {as_of}" if as_of else ""
            screen.note(
                f"session {chosen}, engine {agent.engine.name}{then}; /help lists the commands"
            )
        try:
            _loop(chat)
            if memory.sources.by_id(session.source.id).chars:
                say(f"continue with: {_again(chosen, memory.namespace)}")
        finally:
            ended = background is None or _ended(interrupts, background)
        if not ended:
            _exit_now(chat.code)
    return chat.code


def _loop(chat: Conversation) -> None:
    entries = Entries(chat.reader.read)
    while not chat.over:
        try:
            entry = entries.next()
            if entry is None:
                return
            _carry_out(chat, entry)
        except MemagentError as error:
            chat.fail(error)
        except BlockDroppedError:
            chat.screen.note("(the block was dropped)")
        except KeyboardInterrupt:
            chat.leave(130)


def _carry_out(chat: Conversation, entry: Entry) -> None:
    text = entry.text
    if not text.strip():
        return
    if text.startswith("/") and not text.startswith("//") and not entry.literal:
        obey(chat, text)
        return
    chat.ask(text if entry.literal else text.removeprefix("/"))
    if chat.background is None and not chat.over:
        # The answer has been given: nobody waits for it.
        with chat.interrupts.armed():
            _keeper(chat.session)(ignore)


def _keeper(session: Session) -> Callable[[Callable[[str], None]], None]:
    """What keeps the running memory of the session, where the settings say so."""
    agent = session.agent

    def keep(alive: Callable[[str], None]) -> None:
        if agent.settings.working_every:
            from memagent.writing.update import keep_up

            keep_up(session.memory, agent.engine, agent.settings, session.source.id, on_text=alive)

    return keep


def _reader(interrupts: Interrupts, screen: Screen, history: ChatHistory) -> Reader:
    if sys.stdin is None:
        raise UsageError("there is nothing to read turns from: stdin is closed")
    if not sys.stdin.isatty():
        return Plain(interrupts, screen.note, interactive=False)
    shown = sys.stdout.isatty() or sys.stderr.isatty()
    if not shown or os.environ.get("TERM", "dumb").lower() in ("dumb", "unknown"):
        return Plain(interrupts, screen.note, interactive=True)
    from memagent.cli.chat.terminal import Terminal

    return Terminal(interrupts, screen.note, history, list(COMMANDS))


def _fresh(memory: Namespace) -> str:
    name = first = new_name()
    number = 2
    while memory.sources.find(name, "session") is not None:
        name = f"{first} {number}"
        number += 1
    return name


def _again(name: str, namespace: str) -> str:
    command = f"memagent chat -s {shlex.quote(name)}"
    return command if namespace == "default" else f"{command} -n {shlex.quote(namespace)}"


def _ended(interrupts: Interrupts, background: Background) -> bool:
    interrupts.take()
    try:
        with interrupts.armed():
            return background.close(_GRACE)
    except KeyboardInterrupt:
        return False


def _exit_now(code: int) -> NoReturn:
    # Every turn is committed, and what the thread was making is made again from the store. An
    # ordinary exit would pull the interpreter away under native code that still runs.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
