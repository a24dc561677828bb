"""The engine for vLLM and any other OpenAI-compatible server."""
