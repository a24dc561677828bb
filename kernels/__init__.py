"""Attention kernels over pages; knows nothing of memory, prompts or the agent."""
