"""One command or command group per file: parse the options, call, print."""
