"""`memagent bench recall`: how much of the evidence is recalled within a token budget."""
