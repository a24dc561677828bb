"""Run `memagent ARGUMENTS` in this process and print the files that handle the question.

    python question_tracer.py QUESTION_PART ARGUMENTS…

Prints one file a line on stderr, after the program's own output.
"""

from __future__ import annotations

import inspect
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import memagent
from memagent.cli.app import main

ROOT = Path(memagent.__file__).resolve().parent.parent
FOLDERS = tuple(f"{ROOT / name}{os.sep}" for name in ("memagent", "memory", "kernels", "prompts"))
DEPTH = 2


def contents(value: Any) -> Iterator[Any]:
    """The items of a collection, or the fields of one of the product's own objects."""
    if isinstance(value, list | tuple):
        yield from value
    elif isinstance(value, dict):
        yield from value.values()
    elif type(value).__module__.startswith("memagent"):
        slots = getattr(type(value), "__slots__", ())
        yield from [*vars(value).values()] if hasattr(value, "__dict__") else []
        yield from (getattr(value, slot, None) for slot in slots)


def holds(value: Any, part: str, depth: int = DEPTH) -> bool:
    """Whether a value is a text with the question in it, or leads to one."""
    if isinstance(value, str):
        return part in value.lower()
    return depth >= 0 and any(holds(inner, part, depth - 1) for inner in contents(value))


class Tracer:
    """A profile function that collects the files in which a function is given the question."""

    def __init__(self, part: str) -> None:
        self.part = part.lower()
        self.files: set[str] = set()
        self._real: dict[str, str] = {}

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event != "call":
            return
        code = frame.f_code
        file = self._real.get(code.co_filename)
        if file is None:
            file = os.path.realpath(code.co_filename)
            self._real[code.co_filename] = file = file if file.startswith(FOLDERS) else ""
        if not file or file in self.files or not code.co_flags & inspect.CO_OPTIMIZED:
            return
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        given = [frame.f_locals.get(name) for name in names if name != "self"]
        sys.setprofile(None)
        if any(holds(value, self.part) for value in given):
            self.files.add(file)
        sys.setprofile(self)


if __name__ == "__main__":
    tracer = Tracer(sys.argv.pop(1))
    threading.setprofile(tracer)
    sys.setprofile(tracer)
    try:
        main()
    finally:
        sys.setprofile(None)
        for file in sorted(tracer.files):
            sys.stderr.write(f"{Path(file).relative_to(ROOT)}\n")
