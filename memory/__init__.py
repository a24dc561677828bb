"""Episodic memory over one SQLite file; knows nothing of kernels, prompts or the agent."""
