"""`memagent bench faults`: kill writing processes and check what the store kept."""
