"""Ways of finding events, one per file."""
