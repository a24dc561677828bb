"""Right answers end to end: `memagent bench answers`."""
