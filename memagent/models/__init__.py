"""Models that the package ships: files that stock transformers classes load, and where they lie."""
