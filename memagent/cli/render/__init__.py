"""Print and draw results."""
