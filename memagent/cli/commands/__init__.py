"""One command or command group a file: parse, call, print."""
