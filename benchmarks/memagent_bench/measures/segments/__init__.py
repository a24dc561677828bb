"""How well events fit topics and human event boundaries, beside chance and fixed windows."""
