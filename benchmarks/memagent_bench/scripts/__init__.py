"""Stand-alone comparisons and the tables of the documentation."""
