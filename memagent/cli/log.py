"""Messages of the loggers below "memagent", printed on stderr as `memagent: MESSAGE`."""

from __future__ import annotations

import logging

from memagent.cli.render.output import say

__all__ = ["configure_logging"]


class _StderrHandler(logging.Handler):
    """Prints each message on one line of the current `sys.stderr`, which may change in a chat."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message of `record`."""
        say(record.getMessage())


def configure_logging(*, verbose: bool = False) -> None:
    """Print messages from INFO upwards; with `verbose`, those for debugging too."""
    logger = logging.getLogger("memagent")
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    if not any(isinstance(handler, _StderrHandler) for handler in logger.handlers):
        logger.addHandler(_StderrHandler())
