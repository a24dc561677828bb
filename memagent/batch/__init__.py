"""Scripted batches: rows in, one result a row out."""
