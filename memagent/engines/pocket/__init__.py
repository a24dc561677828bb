"""The bundled extractive engine: a small span reader that answers by quoting."""
