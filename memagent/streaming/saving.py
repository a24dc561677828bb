"""Saving a stream to disk and resuming it in another process, with the same next logits.

Full pages are in the stream's own page files. The state file holds the rest: the page being filled,
the summaries, tokens, events and the next logits. Knows nothing of stores.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memagent.errors import EngineError, UsageError
from memagent.streaming.binding import fingerprint
from memagent.streaming.config import Segmentation, StreamConfig
from memagent.streaming.page_ranges import PageRanges
from memagent.streaming.stream import STATE, Stream

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

__all__ = ["resume", "save"]

_FORMAT = "1"
_FIXED = ("page", "sinks", "selector", "landmark", "segmentation")
_LISTS = ("page", "lo", "hi", "group")


def save(stream: Stream) -> None:
    """Write the stream to its folder; UsageError if it has none.

    The state file is written last and replaced atomically. A killed save leaves the previous state
    and all of its page files.
    """
    from safetensors.torch import save_file

    if stream.folder is None:
        raise UsageError("this stream cannot be saved: it was opened without a folder")
    tensors: dict[str, Tensor] = {"tokens": stream.tokens, "surprise": stream.surprise}
    if stream.logits is not None:
        tensors["logits"] = stream.logits
    for number, cache in enumerate(stream.layers.caches):
        cache.store()
        tensors[f"{number}.tail"] = cache.tail()
        tensors.update({f"{number}.{k}": t for k, t in stream.layers.summaries[number].tensors_of})
    tensors.update(
        {f"{number}.asked": queries for number, queries in stream.layers.last_queries.items()}
    )
    for number, far in stream.view.chosen.items():
        tensors.update({f"{number}.far.{name}": getattr(far, name) for name in _LISTS})
    about = {
        "format": _FORMAT,
        "model": stream.weights,
        "config": asdict(stream.config),
        "rows": stream.rows,
        "view": stream.view.state(),
        "forgotten": stream.view.forgotten,
        "notes": stream.notes,
        "events": [{**log.state(), "done": log.done} for log in stream.events],
        "summarised": [summaries.events for summaries in stream.layers.summaries],
    }
    path = stream.folder / STATE
    fresh = path.with_suffix(".new")
    # safetensors refuses tensors that share storage: copy them.
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(copies, fresh, metadata={"about": json.dumps(about)})
    fresh.replace(path)


def resume(
    model: PreTrainedModel,
    folder: Path,
    config: StreamConfig | None = None,
    *,
    host_pages: int | None = None,
) -> Stream | None:
    """The stream saved in `folder`, or None if there is none of this model.

    A stream of other weights is left alone, since its keys and values are useless for this model.
    `config` replaces the saved configuration; None is returned if the saved pages and summaries do
    not fit it. Raises EngineError if the files are damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / STATE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()["about"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise EngineError(f"the stream in {folder} is damaged ({error}): delete it") from error
    if about["format"] != _FORMAT or about["model"] != fingerprint(model):
        return None
    rule = Segmentation(**about["config"].pop("segmentation"))
    saved = StreamConfig(**about["config"], segmentation=rule)
    if config is not None and any(getattr(config, n) != getattr(saved, n) for n in _FIXED):
        return None
    stream = Stream(
        model,
        config or saved,
        rows=about["rows"],
        folder=folder,
        host_pages=host_pages,
    )
    _restore(stream, tensors, about)
    return stream


def _restore(stream: Stream, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    device = stream.model.device
    stream.tokens, stream.surprise = tensors["tokens"], tensors["surprise"]
    if "logits" in tensors:
        stream.logits = tensors["logits"].to(device)
    stream.view.restore(about["view"])
    stream.view.forgotten = [[(a, b) for a, b in row] for row in about["forgotten"]]
    stream.notes = about["notes"]
    for log, state in zip(stream.events, about["events"], strict=True):
        log.done.extend(tuple(span) for span in state["done"])
        log.restore({**state, "done": len(log.done)})
    for number, cache in enumerate(stream.layers.caches):
        cache.resume(stream.length, tensors[f"{number}.tail"])
        prefix = f"{number}."
        own = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        stream.layers.summaries[number].restore(
            {name: tensor.to(device) for name, tensor in own.items()},
            [[tuple(span) for span in row] for row in about["summarised"][number]],
            stream.length // stream.config.page,
            stream.length,
        )
        if "asked" in own:
            stream.layers.last_queries[number] = own["asked"].to(device)
        if "far.page" in own:
            lists = [own[f"far.{name}"].to(device) for name in _LISTS]
            groups = 1 + max([0, *lists[3].flatten().tolist()])
            stream.view.chosen[number] = PageRanges.from_tensors(lists, groups)
