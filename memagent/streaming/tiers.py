"""Storage tiers for pages that do not fit next to the model: host memory, files, their text.

A block is the keys and values of one page of one layer and row, [2, Hkv, P, D]. Each tier passes
blocks that do not fit to the tier below. Knows nothing of attention.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

__all__ = ["DiskTier", "HostTier", "Key", "TextTier", "Tier"]

Key = tuple[int, int, int]
"""Layer, row, page."""


class Tier(ABC):
    """Storage for blocks."""

    @abstractmethod
    def put(self, blocks: Mapping[Key, Tensor]) -> None:
        """Store these blocks, replacing those of the same keys."""

    @abstractmethod
    def get(self, key: Key) -> Tensor | None:
        """The block, or None if neither this tier nor a lower one has it."""

    @abstractmethod
    def drop(self, gone: Callable[[Key], bool]) -> None:
        """Delete all blocks with a key for which `gone` is true, and erase their bytes."""

    @abstractmethod
    def has(self, key: Key) -> bool:
        """Whether this tier or a lower one stores the block."""

    def flush(self) -> None:  # noqa: B027 - optional
        """Write blocks that would not outlive the process to a lower tier, if there is one."""


class HostTier(Tier):
    """Blocks in pinned host memory, for streams whose pages live on a GPU."""

    def __init__(self, limit: int, below: Tier | None) -> None:
        self.limit = limit
        self.below = below
        self._blocks: OrderedDict[Key, Tensor] = OrderedDict()

    def put(self, blocks: Mapping[Key, Tensor]) -> None:
        """Store the newest `limit` blocks and pass the others to the tier below."""
        for key, block in blocks.items():
            host = block.to("cpu", copy=True)
            self._blocks[key] = host.pin_memory() if torch.cuda.is_available() else host
            self._blocks.move_to_end(key)
        over = len(self._blocks) - self.limit
        if over > 0 and self.below is not None:
            oldest = dict([self._blocks.popitem(last=False) for _ in range(over)])
            self.below.put(oldest)

    def get(self, key: Key) -> Tensor | None:
        """The block from memory, otherwise from the tier below."""
        if key in self._blocks:
            self._blocks.move_to_end(key)
            return self._blocks[key]
        return self.below.get(key) if self.below is not None else None

    def drop(self, gone: Callable[[Key], bool]) -> None:
        """Delete the blocks here and below."""
        for key in [key for key in self._blocks if gone(key)]:
            del self._blocks[key]
        if self.below is not None:
            self.below.drop(gone)

    def has(self, key: Key) -> bool:
        """Whether this tier or a lower one stores the block."""
        return key in self._blocks or (self.below is not None and self.below.has(key))

    def flush(self) -> None:
        """Copy every block to the tier below."""
        if self.below is not None:
            below = self.below
            below.put({key: b for key, b in self._blocks.items() if not below.has(key)})


class DiskTier(Tier):
    """Blocks in memory-mapped safetensors files in a folder; a file is only replaced as a whole.

    With `limit`, the oldest files are deleted while there are more blocks than that; `below` must
    be able to provide them.
    """

    def __init__(
        self, folder: Path, *, limit: int | None = None, below: Tier | None = None
    ) -> None:
        self.folder = folder
        self.limit = limit
        self.below = below
        self._places: dict[Key, tuple[str, int]] = {}
        self._next = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._read_folder()

    def put(self, blocks: Mapping[Key, Tensor]) -> None:
        """Write these blocks to one new file."""
        if not blocks:
            return
        self.drop(lambda key: key in blocks)
        name = f"{self._next:08d}.safetensors"
        self._next += 1
        self._write(name, list(blocks), torch.stack([block.cpu() for block in blocks.values()]))
        while self.limit is not None and len(self._places) > self.limit:
            oldest = min(name for name, _ in self._places.values())
            self._places = {k: p for k, p in self._places.items() if p[0] != oldest}
            (self.folder / oldest).unlink()

    def get(self, key: Key) -> Tensor | None:
        """The block, read through the memory map, otherwise from the tier below."""
        if key not in self._places:
            return self.below.get(key) if self.below is not None else None
        from safetensors import safe_open

        name, row = self._places[key]
        with safe_open(self.folder / name, framework="pt") as file:
            block: Tensor = file.get_slice("blocks")[row]
            return block

    def drop(self, gone: Callable[[Key], bool]) -> None:
        """Rewrite the files of these blocks without them and unlink the old files."""
        lost = [key for key in self._places if gone(key)]
        touched = {self._places.pop(key)[0] for key in lost}
        for name in touched:
            kept = [key for key, place in self._places.items() if place[0] == name]
            blocks = [block for key in kept if (block := self.get(key)) is not None]
            if blocks:
                self._write(name, kept, torch.stack(blocks))
            else:
                (self.folder / name).unlink()
        if self.below is not None:
            self.below.drop(gone)

    def has(self, key: Key) -> bool:
        """Whether this tier or a lower one stores the block."""
        return key in self._places or (self.below is not None and self.below.has(key))

    def reopen(self) -> None:
        """Notice that files or the whole folder have been deleted by someone else."""
        self.folder.mkdir(parents=True, exist_ok=True)
        there = {path.name for path in self.folder.iterdir()}
        self._places = {key: place for key, place in self._places.items() if place[0] in there}

    def bytes(self) -> int:
        """Size of the files in bytes."""
        return sum(path.stat().st_size for path in self.folder.glob("*.safetensors"))

    def _write(self, name: str, keys: list[Key], blocks: Tensor) -> None:
        from safetensors.torch import save_file

        path = self.folder / name
        fresh = path.with_suffix(".new")
        save_file({"blocks": blocks.contiguous()}, fresh, metadata={"keys": json.dumps(keys)})
        fresh.replace(path)
        self._places.update({key: (name, row) for row, key in enumerate(keys)})

    def _read_folder(self) -> None:
        from safetensors import SafetensorError, safe_open

        for path in sorted(self.folder.glob("*.new")):
            path.unlink()
        for path in sorted(self.folder.glob("*.safetensors")):
            try:
                with safe_open(path, framework="pt") as file:
                    keys = json.loads(file.metadata()["keys"])
            except (SafetensorError, KeyError, TypeError, ValueError):
                path.unlink()
                continue
            self._places.update({tuple(key): (path.name, row) for row, key in enumerate(keys)})
            self._next = max(self._next, int(path.stem) + 1)


class TextTier(Tier):
    """The lowest tier: it stores only the text, from which the model recomputes a page.

    `encode(row, page)` returns one block for each layer. The blocks of the last `keep` pages are
    cached, since the other layers ask for them next.
    """

    def __init__(self, encode: Callable[[int, int], list[Tensor]], keep: int = 32) -> None:
        self.encode = encode
        self.keep = keep
        self.encoded = 0
        self._made: OrderedDict[tuple[int, int], list[Tensor]] = OrderedDict()

    def put(self, blocks: Mapping[Key, Tensor]) -> None:
        """Do nothing: the owner of `encode` keeps the text."""

    def get(self, key: Key) -> Tensor | None:
        """The block recomputed from the text; its context may differ from the original one."""
        layer, row, page = key
        if (row, page) not in self._made:
            self._made[row, page] = self.encode(row, page)
            self.encoded += 1
            if len(self._made) > self.keep:
                self._made.popitem(last=False)
        return self._made[row, page][layer]

    def drop(self, gone: Callable[[Key], bool]) -> None:
        """Drop these pages from the cache."""
        for row, page in list(self._made):
            if any(gone((layer, row, page)) for layer in range(len(self._made[row, page]))):
                del self._made[row, page]

    def has(self, key: Key) -> bool:
        """False: this tier computes blocks and stores none."""
        return False
