"""Question sets in their own formats: one reader a file, one kind of item for all."""
