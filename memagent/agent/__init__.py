"""The turn as a LangGraph graph: recall, prompt, answer, citations, storage."""
