"""Agent loops, one a file: ways to answer that take more than one call of the engine."""
