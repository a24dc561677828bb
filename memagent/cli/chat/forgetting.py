"""/forget: overwrite the text of a citation, or the last exchange."""

from __future__ import annotations

from memagent.cli.chat.citations import citation_number, passages
from memagent.cli.chat.conversation import Conversation
from memagent.errors import UsageError

__all__ = ["forget"]


def forget(chat: Conversation, argument: str) -> None:
    """Overwrite text for good. A person must confirm; in a pipe the command is enough."""
    if argument == "last":
        turn, rest = chat.session.last_exchange()
        lost = [span.text for span in (turn, *rest)]
    elif argument:
        number = citation_number(argument, "/forget 1, or /forget last")
        found = passages(chat, number)
        lost = [passage.text for passage in found]
    else:
        raise UsageError(
            "say what to forget: /forget 1 for the text of citation [1], or /forget last"
        )
    if not _agreed(chat, lost):
        chat.screen.note("(nothing was forgotten)")
        return
    memory = chat.memory
    if argument == "last":
        characters = chat.session.forget_last()
    else:
        with memory.store.write():
            characters = sum(
                memory.forget_range(place.source_id, place.start, place.end) for place in found
            )
    memory.purge()
    for text in lost:
        chat.history.forget(text)
    chat.reload()
    chat.screen.note(f"(forgot {characters:,} characters)")


def _agreed(chat: Conversation, lost: list[str]) -> bool:
    if not chat.reader.interactive:
        return True
    chat.screen.note("\n".join(lost))
    try:
        return chat.reader.confirm("Forget this for good?")
    except KeyboardInterrupt:
        chat.interrupts.reset()
        return False
