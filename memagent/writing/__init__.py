"""Long text written step by step with a text memory (RecurrentGPT)."""
