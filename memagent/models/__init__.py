"""The bundled models, and those that are installed by name."""
