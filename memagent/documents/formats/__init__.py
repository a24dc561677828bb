"""Document formats, one a file."""
