"""Ways to select far pages, one per file."""
