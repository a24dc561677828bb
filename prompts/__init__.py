"""Prompt templates, one file each; knows nothing of memory, kernels or the agent."""
