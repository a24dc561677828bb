"""Writing long text step by step: memory, plans and paragraphs (RecurrentGPT)."""
