"""The loop of a chat: read turns and commands, and run them, until the user leaves."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from typing import NoReturn

from memagent.agent.graph import ignore
from memagent.agent.session import Session, new_name, newest
from memagent.agent.workspace import Workspace
from memagent.cli.chat.background import Background
from memagent.cli.chat.blocks import BlockDroppedError, Entries, Entry
from memagent.cli.chat.commands import COMMANDS, run_command
from memagent.cli.chat.conversation import Conversation
from memagent.cli.chat.history import ChatHistory
from memagent.cli.chat.input import open_reader
from memagent.cli.chat.interrupts import Interrupts
from memagent.cli.chat.screen import Screen
from memagent.cli.render.output import say
from memagent.cli.session_names import unused_name
from memagent.errors import MemagentError
from memagent.memory.events import Filter

__all__ = ["converse"]

# Seconds to wait at the end for work that could also be done later.
_CLOSE_SECONDS = 2.0


def converse(
    workspace: Workspace,
    name: str | None,
    *,
    follow: bool,
    as_of: str | None = None,
    show_thinking: bool = True,
) -> int:
    """Run a chat in the session `name`; returns the exit code.

    Without a name it is the newest session if `follow` is true, or a new one. `as_of` is a time or
    a day: answers use only what was known and valid then.
    """
    memory = workspace.memory()
    where = Filter(as_of=as_of)
    chosen = name or (newest(memory) if follow else unused_name(memory, new_name()))
    agent = workspace.agent()
    session = Session(agent, chosen)
    history = ChatHistory(workspace.settings.state_dir)
    screen = Screen(show_thinking=show_thinking)
    with Interrupts() as interrupts:
        reader = open_reader(interrupts, screen, history, list(COMMANDS))
        background = Background(agent, _memory_updater(session)) if reader.interactive else None
        chat = Conversation(session, reader, screen, interrupts, history, background, where)
        if reader.interactive:
            moment = f", as of {as_of}" if as_of else ""
            screen.note(
                f"session {chosen}, engine {agent.engine.name}{moment}; /help lists the commands"
            )
        try:
            _loop(chat)
            if memory.sources.by_id(session.source.id).chars:
                say(f"continue with: {_continue_command(chosen, memory.namespace)}")
        finally:
            ended = background is None or _close(interrupts, background)
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
        run_command(chat, text)
        return
    chat.ask(text if entry.literal else text.removeprefix("/"))
    if chat.background is None and not chat.over:
        # The answer has been printed: nobody waits for the update.
        with chat.interrupts.armed():
            _memory_updater(chat.session)(ignore)


def _memory_updater(session: Session) -> Callable[[Callable[[str], None]], None]:
    """A function that updates the working memory of the session if the settings ask for it."""
    agent = session.agent

    def update(on_text: Callable[[str], None]) -> None:
        if agent.settings.working_every:
            from memagent.writing.update import keep_up

            keep_up(
                session.memory, agent.engine, agent.settings, session.source.id, on_text=on_text
            )

    return update


def _continue_command(name: str, namespace: str) -> str:
    command = f"memagent chat -s {shlex.quote(name)}"
    return command if namespace == "default" else f"{command} -n {shlex.quote(namespace)}"


def _close(interrupts: Interrupts, background: Background) -> bool:
    interrupts.reset()
    try:
        with interrupts.armed():
            return background.close(_CLOSE_SECONDS)
    except KeyboardInterrupt:
        return False


def _exit_now(code: int) -> NoReturn:
    # Every turn is committed, and the unfinished work of the thread is redone from the store. An
    # ordinary exit would tear the interpreter down while the thread still runs native code.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
