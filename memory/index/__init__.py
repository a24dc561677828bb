"""Embeddings and the vector index, a cache of the store."""
