"""Ways to select far pages, one a file."""
