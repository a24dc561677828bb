"""Which pages and events of the far history a layer attends to, one way a file."""
