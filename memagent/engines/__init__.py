"""Backbones: everything that can answer a turn."""
