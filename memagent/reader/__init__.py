"""Extractive reading: which words of which text answer a question, and how sure that is."""
