"""FriendsQA: questions about dialogues of many speakers (Yang and Choi, 2019).

The data has no predefined split: every fifth dialogue is held out for evaluation, and the others
are for training.
"""

from __future__ import annotations

from typing import Any, Literal

from memagent_bench.data.items import Item

__all__ = ["friends"]

_HELD_OUT = 5


def friends(value: dict[str, Any], part: Literal["train", "held-out"]) -> list[Item]:
    """Items of a decoded file; the passage has a line `Speaker: words` for each utterance.

    Raises KeyError for another format.
    """
    items = []
    for place, dialogue in enumerate(value["data"]):
        if (place % _HELD_OUT == _HELD_OUT - 1) != (part == "held-out"):
            continue
        for paragraph in dialogue["paragraphs"]:
            passage, places = _script(paragraph["utterances:"])
            for row in paragraph["qas"]:
                spans = tuple(_span(answer, places) for answer in row["answers"])
                answers = tuple(passage[start:end] for start, end in spans)
                title = dialogue["title"]
                items.append(Item("friendsqa", title, row["question"], passage, spans, answers))
    return items


def _script(
    utterances: list[dict[str, Any]],
) -> tuple[str, dict[int, tuple[tuple[int, int], list[int]]]]:
    """The passage, and the positions in it of each utterance.

    An utterance has the span of its speaker and the starts of its words, followed by where another
    word would start.
    """
    text, places = "", {}
    for utterance in utterances:
        speaker = " and ".join(utterance["speakers"]) or "Scene"
        text += "\n" if text else ""
        said = (len(text), len(text) + len(speaker))
        text += f"{speaker}: "
        starts = [len(text)]
        for word in utterance["utterance"].split():
            text += f"{word} "
            starts.append(len(text))
        text = text.rstrip(" ")
        places[utterance["uid"]] = (said, starts)
    return text, places


def _span(
    answer: dict[str, Any], places: dict[int, tuple[tuple[int, int], list[int]]]
) -> tuple[int, int]:
    speaker, starts = places[answer["utterance_id"]]
    if answer["is_speaker"]:
        return speaker
    return starts[answer["inner_start"]], starts[answer["inner_end"] + 1] - 1
