"""The measurements of `memagent bench stream`, one per file."""
