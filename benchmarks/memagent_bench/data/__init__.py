"""Readers of data sets, one format per file, and the items that they all produce."""
