"""vLLM's own server, with the flags added that a machine without a GPU needs; run as a file.

It runs in the Python that has vLLM, which need not have memagent: it imports nothing of it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["main"]

_GIB = 2**30
_NICE = 15
_MEMORY_FLAGS = ("--gpu-memory-utilization", "--kv-cache-memory-bytes")


def main() -> None:
    """Serve with the flags of the command line, which come last and so win."""
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        # Half precision is emulated on most processors, and compiling takes minutes.
        sys.argv[1:1] = ["--dtype", "float32", "--enforce-eager"]
        if not any(flag.startswith(_MEMORY_FLAGS) for flag in sys.argv):
            # Without it vLLM wants nearly all of the memory, and refuses where that is not free.
            memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
            space = max(1, min(4, memory // (4 * _GIB)))
            os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", str(space))
        _give_way()
    from vllm.entrypoints.launchers.api_server.entry import main as serve

    serve()


def _give_way() -> None:
    """Compute behind everything else on the processor, with the threads and processes to come.

    vLLM's threads never rest between two tokens. Who asks the server from this machine would wait a
    slice of time at each of many small steps, and batches would reach it row by row.
    """
    os.nice(_NICE)
    try:
        # Linux weighs whole sessions first where it groups by them, and this is one of its own.
        Path("/proc/self/autogroup").write_text(str(_NICE))
    except OSError:
        return


if __name__ == "__main__":
    main()
