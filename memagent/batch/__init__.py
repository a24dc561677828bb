"""Scripted batches: rows in, results out, each exactly once."""
