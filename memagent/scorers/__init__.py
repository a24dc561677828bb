"""Models that score the surprise of text, token by token."""
