"""Lets `python -m memagent` run the command line."""

from memagent.cli.app import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
