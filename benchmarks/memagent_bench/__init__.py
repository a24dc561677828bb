"""Benchmarks, measurements and model training for memagent."""
