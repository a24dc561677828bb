"""Backbones behind one interface, one file each; `auto.py` chooses among them."""
