"""How text is split into events."""
