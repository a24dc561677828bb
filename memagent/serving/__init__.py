"""Model servers of one's own: starting vLLM, stopping it, and remembering where it is."""
