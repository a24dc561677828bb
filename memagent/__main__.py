"""Run the command line with `python -m memagent`."""

from memagent.cli.app import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
