"""Models that ship with the package; made by training/."""
