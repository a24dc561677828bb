"""The console script: runs the command line and turns every error into one line."""

from __future__ import annotations

import sys

from memagent.errors import MemagentError

__all__ = ["main"]


def main() -> None:
    """Run memagent. Exit codes: 0, 1 failure, 2 usage, 3 not found, 4 server, 5 store, 130."""
    from memagent.cli import app
    from memagent.output import say

    try:
        app(prog_name="memagent")
    except MemagentError as error:
        say(" ".join(str(error).split("\n")))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)


if __name__ == "__main__":
    main()
