"""From a question to events under a token budget."""
