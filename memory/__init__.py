"""Memory: storage, segmentation, index and recall of verbatim text."""
