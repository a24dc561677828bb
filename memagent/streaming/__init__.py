"""Paged KV memory of one model: sinks, recalled events and a local window."""
