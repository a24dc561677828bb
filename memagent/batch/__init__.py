"""Scripted batches: JSON Lines in, one result line per row out."""
