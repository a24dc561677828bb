"""Optional ways to answer that take more than one call of the engine."""
